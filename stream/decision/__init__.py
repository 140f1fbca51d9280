"""From the boxes of single frames to tracks, by one rule (`rule.py`), and from tracks to alarms."""
