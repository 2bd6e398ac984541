"""Bytes of a training log in, `RunLog` values out. Only `log_files` and `collection` open files.

`grammar` holds every pattern, `source` finds the separators and the embedded script, `header` reads versions and the
GPU table, `lines` turns a stretch of bytes into metric lines, `runs` gathers them into runs, `part` reads the log part
and what is odd in it, `dialect` names the layout, `final` reads the end of a log alone, and `reader` is the way in.
`problems` is the table of what may be wrong with a log, `collection` reads many logs at once.
"""
