"""Processes: what belongs to one of them, and programs that are started beside it."""
