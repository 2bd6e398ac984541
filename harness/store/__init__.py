"""Files on disk: folder names, atomic writes, records, runs, the ledger, packs, comparisons, replays.

No other package knows the name of a file in a record, a run or a pack.
"""
