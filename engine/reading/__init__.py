"""Texts and records of others, read within bounds: how large, how deep, and with which numbers."""
