"""What vouches for a model bundle: ranges of its record, hashes of all its files, and networks that are whole."""
