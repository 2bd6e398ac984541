"""A plan in, one execution out: log, clock and outcome in the run's folder.

`torchrun` starts a script for real, `saved` answers from what is on disk, `recorder` is the separate process that
stamps every line and ends everything well, `clock` reads the stamps.
"""
