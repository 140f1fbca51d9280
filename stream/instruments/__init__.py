"""Moments of videos that show an instrument: looked for twice a second, told by most looks of some seconds."""
