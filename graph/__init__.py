"""Concepts: the knowledge graph from dumps to weights, tags, rarity, budgets, sampling."""
