"""Marks as a subtitle track beside a recording's own pictures and sound: `sink.TrackSink`."""
