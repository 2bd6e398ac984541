"""How the text of a script is read for settings that a ruleset forbids. Nothing is executed."""
