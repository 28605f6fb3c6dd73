"""The quality model: one score in [0, 1] per degradation, from a small trained network.

`crops.py` chooses what is looked at, `network.py` is the model, `model.py` runs it. `distortions.py`,
`watermarks.py` and `train.py` are how it was made; MODEL_CARD.md says on what, and how good it is.
"""
