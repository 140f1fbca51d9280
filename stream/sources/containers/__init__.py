"""Files of video and pictures from outside: opened, what streams they hold, where they end."""
