"""The page of a live run, for browsers."""
