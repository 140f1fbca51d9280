"""Where frames come from: `opening.open_source`; pictures alone: `picture_reader.read_picture`."""
