"""Which tracks are one lesion: looks compared by features and by points, tracks cut where they go over to another."""
