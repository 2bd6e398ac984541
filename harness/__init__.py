"""The speedrun harness: launch a training script, hold the clock, read its log, judge it, rank it.

docs/architecture.md lists the packages, each of which imports only packages before it.
"""
