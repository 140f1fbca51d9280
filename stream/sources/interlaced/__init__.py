"""Interlaced video: noticed by its pictures and its flags, and made into whole pictures."""
