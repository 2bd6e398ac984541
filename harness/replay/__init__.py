"""A record run again: its plan, what stands in the way, its environment, and claimed against replayed."""
