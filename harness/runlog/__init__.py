"""Read training logs of every dialect. Only `log_files` and `collection` open files.

`reader` reads one log and is where to start. `source` finds its separators and the embedded script, `header` reads
versions and the GPU table, `part` reads the log part and what is odd in it; there `lines` finds the metric lines,
`grammar` parses one, and `runs` sorts them into runs. `stamped` reads the log part of a run that this harness stamped.
`dialect` names the layout, `problems` lists what may be wrong with a log, `final` reads the end of a log alone,
`log_files` unpacks a file, `collection` reads many, and `groups` sorts their runs by script and machine.
"""
