"""Was this picture generated? A small classifier of pixel traces, trained here; see MODEL_CARD.md.

It is weak evidence: what a file declares about itself counts for more. Retrain it on your own photographs
with `python -m zcurate.curation.profile.forensic.train`.
"""

from .model import Forensic, load_forensic

__all__ = ["Forensic", "load_forensic"]
