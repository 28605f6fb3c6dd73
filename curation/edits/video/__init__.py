"""Pairs of frames: clips cut into shots, frames of one shot paired by how alike they are."""
