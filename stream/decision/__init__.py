"""From candidates to what is shown: tracks, their evidence, and one rule for recordings and live (`rule.py`)."""
