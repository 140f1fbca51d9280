"""The files that the review page is made of in browsers."""
