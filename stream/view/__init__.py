"""The part of a frame that shows the endoscope's picture, and whether it shows anything useful."""
