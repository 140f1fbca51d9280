"""The way of a label: read from other programs, written for them, and the data sets between."""
