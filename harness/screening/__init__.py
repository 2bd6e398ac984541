"""Try a script and answer in one form that a program can read; nothing here is evidence."""
