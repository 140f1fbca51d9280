"""What flows in a live run, and what hands it from thread to thread."""
