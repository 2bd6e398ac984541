"""Make the leaderboard, its data and its pictures from records, and the table that reviewers make of logs.

leaderboard  reads the records, writes the files, or says which of them are stale
rows         the computed figures of each record, and its status with the reason
milestones   which records were ahead of all before them, and by how much
board_page   leaderboard.md
record_page  leaderboard/<track>/<slug>.md, one per record
page_parts   … its parts that hold much foreign text: runs, change of the code, README
eval_section the part of a page about trained models
code_changes what each record changed in the code of the one before
markdown     figures, names and links of rows as Markdown; foreign text escaped
export       leaderboard/records.json and records.csv
upstream_row one record's row for the README of modded-nanogpt
tabulation   the table that reviewers make of logs, as `core.log_table`
log_oddities what is odd in it
log_markdown the same as Markdown, for a comment
plots        leaderboard/progress-<track>.svg: how the record fell
waterfall    leaderboard/gains-<track>.svg: what the last ideas gained
learning     leaderboard/curves-<track>.svg, and the picture on a milestone's page
svg          text that is a picture, the same bytes on every machine
scales       where values lie in a picture, and which of them an axis names
site/        the same as a web site with charts
"""
