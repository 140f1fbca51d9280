"""What a procedure showed: its findings, each lesion once, its times, and a report of both."""
