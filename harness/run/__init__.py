"""Make one run or a series of runs, judge them, and explain why one failed."""
