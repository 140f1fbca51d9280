"""What everything stands on: model bundles, windows, preprocessing, and the libraries that execute networks."""
