"""Token files: their form, how they are fetched, verified and offered to a run."""
