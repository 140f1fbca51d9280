"""Sources that run in real time: cameras, network streams, files, the test pattern."""
