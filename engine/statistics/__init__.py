"""Figures of counts, and how sure they are: shares, intervals by bootstrap over groups."""
