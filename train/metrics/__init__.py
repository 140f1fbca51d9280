"""Measures of detection on frames and in video, with intervals. No torch."""
