"""Concepts: tags, rarity, sampling weights."""
