"""Video that other programs write into a pipe, and video that somebody still writes into a file."""
