"""Frames that are worth labelling next, chosen out of what a detector made of recordings."""
