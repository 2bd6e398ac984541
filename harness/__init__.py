"""The speedrun harness: launch a training script, hold the clock, read its log, judge it, rank it.

The story is `pipeline.py`; the rooms are listed in the README's file map.
"""
