"""The quality model: one score in [0, 1] per degradation, from four small trained networks and boosted trees.

`crops.py`, `blur_windows.py` and `glimpses.py` choose what is looked at, `inputs.py`, `edges.py`, `spectra.py`,
`histograms.py` and `color_evidence.py` prepare it, `network.py` and the `*_network.py` are the networks, `trees.py` the trees,
`model.py` runs them. The other files are how they were made: `distortions.py`, `watermarks.py` and `scenery.py` draw, the
`*synthesis.py` put samples together, the `train*.py` train, `calibration.py` sets what is flagged.
MODEL_CARD.md says on what, and how good it is.
"""
