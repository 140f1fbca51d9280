"""`polypstream doctor`: what a machine can run, and what is in a file."""
