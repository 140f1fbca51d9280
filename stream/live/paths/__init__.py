"""The two paths of a live run: display, and detection beside it."""
