"""The check of masks: whether what they hold is what they seem to mean."""
