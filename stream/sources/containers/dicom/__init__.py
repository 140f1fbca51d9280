"""DICOM objects: what they say, the video or the pictures in them, and which of them lie in a folder."""
