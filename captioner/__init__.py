"""Captions: OCR, text detection, caption engines.

Five kinds of caption in two languages make one `CaptionRecord` (`schema.py`); an engine
(`engines.py`) makes it from a `CaptionRequest`; `template.py` is the engine that needs no model.
"""
