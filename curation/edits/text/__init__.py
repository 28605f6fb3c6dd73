"""Rendered text: items drawn on pictures from specs, so that every edit of them is known exactly."""
