"""Training the captioner on what people accepted and corrected.

`reviewed.py` and `pairs.py` make conversations (`conversations.py`) out of reviewed captions and edit pairs, asking just what
the captioner asks. `examples.py` turns them into tokens, `fitting.py` trains a LoRA adapter on them, `scoring.py` tells per
task whether it got better, `saving.py` writes the adapter with its version, scores and card.
"""
