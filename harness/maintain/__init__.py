"""What maintainers do to records: accept, time again, withdraw, import."""
