"""`polypstream prepare`: data sets made of other material."""
