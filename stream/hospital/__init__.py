"""What hospitals exchange and release: here, recordings and pictures without names."""
