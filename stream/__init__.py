"""From frames to what is shown: sources, field of view, detection, decisions, recordings, live runs."""
