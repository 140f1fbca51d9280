"""What people read on a terminal: guarded streams, lines, logs, progress bars, and names made fit to be shown."""
