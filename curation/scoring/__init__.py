"""Scores from embeddings, thumbnails and text: heads, aesthetics, tags, text-image alignment, faces.

`head.py` says what a head is, `linear.py` runs one from a file and `fitting.py` makes one from labels;
`aesthetics.py` is a heuristic that needs none. `zero_shot.py` and `culture.py` name what a picture shows
from prompts and from text; `detector.py` finds faces and nudity.
"""
