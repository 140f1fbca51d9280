"""`polypstream benchmark`: delays and losses, measured at the display."""
