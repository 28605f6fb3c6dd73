"""Captions: OCR, text detection, caption engines.

Five kinds of caption in two languages make one `CaptionRecord` (`schema.py`), made from a `CaptionRequest`
(`engines.py`). `template.py` needs no model. A vision-language model is a `Chat` (`chat.py`, engines in `vlm/`);
`captioning.py` asks it twice per image, for the lettering (`ocr_pass.py`) and for the captions (`writing.py`), with
prompts from `prompts/` (`packs.py`), reads its answers (`answers.py`, `mending.py`), checks them (`checks*.py`) and
asks again where they fall short (`asking.py`).
"""
