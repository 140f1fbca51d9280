"""`polypstream evaluate`: models on data sets, all figures, the report."""
