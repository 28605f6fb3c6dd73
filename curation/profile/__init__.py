"""Profiling: one safe decode of untrusted bytes, and the raw measurements taken from it.

`decode.py` opens the image, each signal has a file of its own, `measure.py` puts them together,
and `columns.py` names what is stored. Measurements only: thresholds belong to the filter stage.
"""
