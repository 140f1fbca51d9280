"""The recordings of a review: when their frames are shown, files that browsers play, and single frames."""
