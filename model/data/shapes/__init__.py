"""A procedural world: small scenes of colored shapes and glyphs, their captions, and an exact reader of pictures.

Nothing is learned here, so that what a model gets right about a prompt can be counted without a judge.
"""
