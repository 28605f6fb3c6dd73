"""Helpers of the word lists."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Words between blanks."""
    return frozenset(text.split())
