"""What is fitted on held-out data, and the model that ships."""
