"""Labelled frames, windows, classes and clips on disk, and which of them belong together."""
