"""Replay a record: its plan, what would stop it, its environment, and the comparison with its claim."""
