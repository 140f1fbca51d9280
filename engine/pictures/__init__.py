"""Pictures as their decoder gave them: planes of luma and colour, what they mean, and BGR where it is asked for."""
