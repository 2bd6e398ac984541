"""Tracks, manifests, records and originals: which thing a name means, and where its files are."""
