"""What people judge of findings: an append-only log of changes, and the state that it leads to."""
