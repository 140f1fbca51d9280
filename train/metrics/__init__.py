"""Measures of detection on frames and in video. No torch."""
