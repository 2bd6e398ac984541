"""The leaderboard: Markdown, JSON, CSV and plots, rendered from records. Only `leaderboard` reads and writes files.

rows      the computed figures of each record, and its status with the reason
markdown  leaderboard.md
export    leaderboard/records.json and records.csv
plots     leaderboard/progress-<track>.svg and curves-<track>.svg
"""
