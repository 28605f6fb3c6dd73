"""Renderers of slots: pure functions of a picture and a value, one family per file."""
