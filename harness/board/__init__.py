"""Records in, text out: the leaderboard as Markdown, JSON and CSV, and its plots. Pure: no file is read or written.

rows      the computed figures of each record, and its status with the reason
markdown  leaderboard.md
export    leaderboard/records.json and records.csv
plots     leaderboard/progress-<track>.svg and curves-<track>.svg
"""
