"""Token files: their format (`shard`), a source of known entropy (`synthetic`), and the download (`hub`)."""
