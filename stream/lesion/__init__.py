"""What kind of lesion a polyp is: `classifier.Classifier`, and which lesions of a video are asked about."""
