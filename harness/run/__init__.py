"""One run, a series of runs, and why one failed."""
