"""From frames to scored boxes: `detector.Detector`."""
