"""From a field of view to windows and the network's input, and from its numbers back to boxes."""
