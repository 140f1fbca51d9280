"""What a study came to: a page with all procedures, and two tables. `files.Summary`."""
