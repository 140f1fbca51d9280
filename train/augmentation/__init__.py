"""Frames varied, dirtied, rendered and composed for training."""
