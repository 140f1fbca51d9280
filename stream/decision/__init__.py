"""From the boxes of single frames to tracks, and from tracks to alarms."""
