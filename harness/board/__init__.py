"""Make the leaderboard, its data and its pictures from records.

leaderboard  reads the records, writes the files, or says which of them are stale
rows         the computed figures of each record, and its status with the reason
markdown     leaderboard.md
export       leaderboard/records.json and records.csv
plots        leaderboard/progress-<track>.svg and curves-<track>.svg, from `harness.frames`
"""
