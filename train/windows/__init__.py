"""Window classifiers: their training and their recipe."""
