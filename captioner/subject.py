"""What an image is said to show, gathered from everything that came with it, for both languages."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .alt_text import LABEL_FIELDS, Name, clean, keywords_of, language_of, name_from, texts_of
from .engines import CaptionRequest
from .lexicon import english_to_chinese, entry_of, is_doubtful, things_in


@dataclass(frozen=True)
class Subject:
    """Names by language; each None when its source gave none. Nothing here is verified.

    Attributes:
        en, zh, other: name in that language (a label is translated by the lexicon, titles never are).
        things: lexicon entries named anywhere, in order.
        keywords: keywords of the metadata, as they came.
    """

    en: Name | None
    zh: Name | None
    other: Name | None
    things: tuple[str, ...]
    keywords: tuple[str, ...]

    def name(self, language: str) -> Name | None:
        return self.en if language == "en" else self.zh

    def foreign(self, language: str) -> Name | None:
        """A name in another language, for a language that has none."""
        return None if self.name(language) else self.en or self.zh or self.other

    @property
    def texts(self) -> list[str]:
        """All names as they may stand in a caption."""
        return [name.text for name in (self.en, self.zh, self.other) if name]


def subject_of(request: CaptionRequest) -> Subject:
    """Gather names: the sample's text, then metadata, then a class label from metadata or folders."""
    by_language: dict[str, Name] = {}
    texts = texts_of(request.text, request.metadata)
    for text in texts:
        name = name_from(text)
        if name:
            by_language.setdefault(language_of(name.text), name)
    label = class_label(request.metadata, request.key)
    things = [label] if label and entry_of(label) else []
    for name in by_language.values():
        things += things_in(name.text)
    keywords = keywords_of(request.metadata)
    for word in keywords:
        entry = entry_of(word)
        things += [entry] if entry else []
    if label and not by_language:
        entry = entry_of(label)
        if entry:
            by_language = {"en": Name(entry, "label"), "zh": Name(english_to_chinese()[entry], "label")}
        else:
            by_language = {language_of(label): Name(label, "label")}
    return Subject(
        by_language.get("en"),
        by_language.get("zh"),
        by_language.get("other"),
        tuple(dict.fromkeys(things)),
        tuple(keywords),
    )


def class_label(metadata: dict | None, key: str) -> str | None:
    """A class label: a metadata field that says so, else the nearest folder that the lexicon knows.

    Folder names are used only if known: `train`, `batch_07` or a camera's `100CANON` name nothing.
    """
    for field in LABEL_FIELDS:
        value = (metadata or {}).get(field)
        if isinstance(value, str):
            label = clean(value)
            if label and len(label) <= 40:
                return entry_of(label) or label
    for folder in reversed(key.split("/")[:-1]):
        word = re.sub(r"[\d_]+$", "", folder)
        entry = entry_of(word)
        if entry and not is_doubtful(word):
            return entry
    return None
