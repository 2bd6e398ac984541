"""Read the text of a script for settings that a ruleset forbids; nothing is executed."""
