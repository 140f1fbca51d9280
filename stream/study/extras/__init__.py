"""What a study writes beside a procedure's report where it is asked: `wanted.Extras`.

`frames_table` makes a table of all frames, `videos` makes annotated recordings. Both are made of a procedure's folder
alone, its event lines and the record of its run.
"""
