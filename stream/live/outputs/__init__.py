"""Where a live run is seen, kept and heard."""
