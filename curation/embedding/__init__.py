"""Embeddings: images, and where the model can, texts, as unit vectors.

`encoder.py` says what an encoder is; `embedded.py` finds copies with bundled weights of 0.1 MB (EMBEDDED_CARD.md;
`layout.py` measures, `train_embedded.py` and `edits.py` gave the weights); `openclip.py`, `cnclip.py` and `siglip.py`
load real models from a hub id or from local files. `symmetry.py`: what turning a picture does to a vector.
"""
