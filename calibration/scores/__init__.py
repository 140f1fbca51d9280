"""Scores that mean probabilities."""
