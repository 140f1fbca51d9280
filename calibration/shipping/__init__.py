"""`polypstream train`: from recipes to the bundle that ships."""
