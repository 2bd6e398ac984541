"""Bytes of a training log in, `RunLog` values out; pure, no clock and no environment.

`grammar` holds every pattern, `source` finds the separators and the embedded script, `header` reads versions and the
GPU table, `lines` turns a stretch of bytes into metric lines, `runs` gathers them into runs, `dialect` names the
layout, and `reader` is the way in. `problems` is the table of what may be wrong with a log.
"""
