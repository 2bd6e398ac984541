"""Execute a script once under torchrun.

`launcher` says what a launcher is told and answers, `torchrun` starts a script, `recorder` is the separate process that
stamps every line and ends everything, `observer` the one that sees which files are opened, `stamps` reads what they
wrote.
"""
