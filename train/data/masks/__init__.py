"""Masks of data sets: what is polyp in them, and whether they mean what they seem to."""
