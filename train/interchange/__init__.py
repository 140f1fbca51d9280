"""Truth and detections in the formats of other programs."""
