"""Finding samples: by vector, by text, or by both.

`exact.py` is the measure of everything else; `index.py` is a vector index over any number of shards that
lives in memory-mapped files; `bm25.py` searches texts; `hybrid.py` joins ranked lists; `density.py` says
whether a query falls into a void, a thin, a normal or a poisoned region.
"""

from .exact import search

__all__ = ["search"]
