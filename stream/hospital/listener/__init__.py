"""`polypstream dicom listen`: takes what an endoscopy tower sends, looks for polyps, and sends back what was found."""
