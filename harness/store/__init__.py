"""What lies on disk: the only rooms that know folder names.

`layout` names the folders, `files` writes them without ever leaving a half-written one, `records` reads and writes
record folders, `ledger` keeps the list of every run that was started.
"""
