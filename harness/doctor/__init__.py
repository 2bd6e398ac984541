"""What this machine has, against what a record needs."""
