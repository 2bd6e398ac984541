"""Values and errors that pass between the stages, statistics, strict YAML and JSON, text for people. Imports nothing above."""
