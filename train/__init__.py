"""From labelled frames to models, and what they are worth."""
