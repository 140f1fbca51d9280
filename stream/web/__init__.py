"""What all pages for browsers share: where they are served, who is let in, how much of the machine they may take."""
