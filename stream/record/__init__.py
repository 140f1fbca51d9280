"""Recordings: every frame of a source, and the files that come of it. `recording.detect_recording`."""
