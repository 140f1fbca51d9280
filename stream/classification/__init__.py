"""`polypstream classify`."""
