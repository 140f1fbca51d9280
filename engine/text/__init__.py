"""Texts on their way to people and files: what may be shown of them."""
