"""Captions: OCR, text detection, caption engines."""
