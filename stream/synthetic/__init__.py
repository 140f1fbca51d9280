"""Colonoscopies rendered from nothing, with exact boxes."""
