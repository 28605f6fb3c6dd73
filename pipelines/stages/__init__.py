"""Adapters: library functions as stages."""
