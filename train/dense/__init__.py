"""The dense detector: its material, its loss, its training, its recipe."""
