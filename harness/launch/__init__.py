"""Execute a script once under torchrun.

`launcher` says what a launcher is told and answers, `torchrun` starts a script, `confinement` decides what it can reach
(`landlock` where there are no namespaces), `recorder` is the separate process that stamps and hashes every line and ends
everything (`processes`), `observer` the one that sees which files are opened, `following` shows the log as it grows,
`stamps` reads what they wrote.
"""
