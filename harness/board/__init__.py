"""Make the leaderboard, its data and its pictures from records, and the table that reviewers make of logs.

leaderboard  reads the records, writes the files, or says which of them are stale
rows         the computed figures of each record, and its status with the reason
markdown     leaderboard.md
record_page  leaderboard/<track>/<slug>.md, one per record
export       leaderboard/records.json and records.csv
upstream_row one record's row for the README of modded-nanogpt
tabulation   the table that reviewers make of logs, as `core.log_table`
log_oddities what is odd in it
log_markdown the same as Markdown, for a comment
site/        the same as a web site with charts
plots        leaderboard/progress-<track>.svg and curves-<track>.svg, from `harness.frames`
"""
