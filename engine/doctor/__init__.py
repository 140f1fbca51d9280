"""What is installed, what would run, what is missing: `report.examine`."""
