"""What judgements come to: how many lesions were found, how often an alarm was false, how far readers agree."""
