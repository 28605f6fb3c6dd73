"""Edit pairs: what may be changed in a picture, how exactly it was changed, and how that is said.

A picture is a `state` (slot -> value), an edit the difference of two states (`spec.py`). Everything else follows from
that: an inverse swaps, a composition joins, and a renderer that is a function of the state makes both exact.
"""
