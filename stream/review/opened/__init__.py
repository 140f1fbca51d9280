"""Recordings that are opened in the page: taken in, looked at beside it, and reviewed as the others are."""
