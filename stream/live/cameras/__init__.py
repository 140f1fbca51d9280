"""Cameras and capture cards: which ones there are, what they give, and what is asked of them."""
