"""Embeddings: images, and where the model can, texts, as unit vectors.

`encoder.py` says what an encoder is; `embedded.py` needs no weights; `openclip.py`, `cnclip.py` and
`siglip.py` load real models from a hub id or from local files.
"""
