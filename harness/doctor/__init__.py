"""Compare what this machine has with what a record needs."""
