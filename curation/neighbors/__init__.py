"""Neighbors and deduplication: exact k-NN, connected components, communities, keepers.

`dedup.deduplicate` runs all of it; the other files are its steps, each usable alone.
"""
