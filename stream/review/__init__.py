"""Reviewing the results of a study: a page, what readers judge, and figures of it."""
