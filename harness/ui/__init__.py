"""What people see: the console, progress, and the text of each command."""
