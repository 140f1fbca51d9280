"""Files without names: covered pictures in new containers."""
