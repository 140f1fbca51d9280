"""Several rooms on one machine: a process for each source, one detector for all of them, one page."""
