"""What has to be covered in a recording or picture: margins, text, overlays, what is outside the body."""
