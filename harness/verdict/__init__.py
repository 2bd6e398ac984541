"""Evidence in, Verdict out: one module per family of checks, one function per rule.

base         what evidence is; how findings come to a verdict
identity     I  the runs are runs of the frozen script, and different runs
completeness L  the logs are whole
data         D  the tokens are the track's
timing       T  the reported time is the time that the harness saw
statistics   S  the mean loss is below the target
hardware     H  the machine is the track's
ledger       G  every run that was started is counted
"""
