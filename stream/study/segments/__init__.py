"""Recordings looked at in pieces, so that a long one uses many cores or nodes, with the results of one piece.

`planning` splits, `executor` hands the pieces out to any executor, `joining` makes one recording of them again.

A piece begins at a key frame somewhat before its start, so that the memory of the field of view forms. Pieces overlap
by a second; where two of them saw different things there, the later one is looked at again with a longer memory.
"""
