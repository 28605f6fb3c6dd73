"""Cleaning alt text and metadata until they can name things. Whatever remains may still be wrong."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_CHARS = 200

_TAG = re.compile(r"<[^<>]{0,500}>")
_URL = re.compile(r"(?:https?:|ftp:|www\.)\S+|\S+@\S+\.\w+|\b[\w-]+\.(?:com|net|org|cn|io|co\.uk)\b\S*", re.I)
_FILE = re.compile(
    r"\S*\.(?:jpe?g|png|gif|webp|bmp|tiff?|heic|avif|svg|psd|raw|mp4|pdf|html?|php)\b\S*", re.I
)
#: Camera and upload names, hashes, ids: tokens no person would say.
_CODE = re.compile(
    r"\b(?:(?:IMG|DSC[NF]?|PXL|DCIM|Screenshot|image|photo|pic|WhatsApp)[-_ ]?\d[\w-]*"
    r"|[0-9a-f]{8}-[0-9a-f-]{12,}|(?=\w*\d)(?=\w*[a-z])[0-9a-z]{12,}|\d{6,}|\d+x\d+(?:px)?)\b",
    re.I,
)
_BOILERPLATE = re.compile(
    r"\b(?:royalty[- ]free|(?:vector )?stock (?:photo(?:s|graphy)?|images?|illustrations?|vectors?|footage)"
    r"|stock (?=photo)|free (?:shipping|download|stock)|hd wallpapers?|click (?:here|to \w+)|buy (?:now|online)"
    r"|for sale|add to cart|read more|file photo|image \d+ of \d+|photo(?:s)? by .*$|credit:.*$|copyright.*$|©.*$"
    r"|getty images?.*$|shutterstock.*$|istock.*$|alamy.*$|dreamstime.*$|pinterest.*$|etsy.*$|ebay.*$|amazon.*$)"
    r"|(?:高清)?(?:图片)?素材(?:免费)?(?:下载)?|免费下载|点击(?:查看|下载).*$|图片来源.*$|版权.*$|包邮|正版商业图片",
    re.I,
)
_LEADIN = re.compile(
    r"^(?:an?|the)?\s*(?:close[- ]?up )?(?:image|picture|photo(?:graph)?|pic|screenshot) (?:of|showing|shows)\s+"
    r"|^(?:alt|caption|title|description|untitled|no description)\s*[:：]\s*",
    re.I,
)
_EMPTY = frozenset(
    "image picture photo photograph untitled none null nan n/a no alt text logo icon thumbnail default "
    "placeholder 图片 图像 照片 无 未命名 配图 插图 图".split()
)


@dataclass(frozen=True)
class Name:
    """A name for what an image shows, by its source; not verified.

    Attributes:
        text: cleaned.
        role: "label" (one class word or two), "title" or "description" (reads like a sentence).
    """

    text: str
    role: str


def clean(text: str | None) -> str | None:
    """Alt text without markup, addresses, file names, ids and stock phrases; None if nothing is left.

    At most `MAX_CHARS` characters, on one line, with no control characters or quotation marks (those
    would be taken for lettering in the image).
    """
    if not text:
        return None
    text = unicodedata.normalize("NFC", html.unescape(html.unescape(text[: 20 * MAX_CHARS])))
    text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    for pattern in (_TAG, _URL, _FILE, _CODE, _BOILERPLATE):
        text = pattern.sub(" ", text)
    # "what it is | where it was published": the first part that says something
    parts = [p for p in re.split(r"\s[|•»]\s?|\s[-–—]\s(?=[^-–—]*$)|_{2,}", text) if _says_something(p)]
    text = parts[0] if parts else ""
    text = re.sub(r"[\"“”„«»‘《》【】\[\]{}<>*#~^`\\]|(?<!\w)['’]|['’](?!\w)", " ", text.replace("_", " "))
    text = re.sub(r"\(\s*\)|（\s*）", " ", text)
    text = re.sub(r"\s+([,.;:!?，。；：！？、])", r"\1", " ".join(text.split()))
    text = re.sub(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])", "", text)
    text = re.sub(r"([,.;:!?，。；：！？、])(?:\s*[,.;:!?，。；：！？、])+", r"\1", text)
    text = _LEADIN.sub("", text).strip(" ,.;:-–—|/，。；：、·+&=")
    if len(text) > MAX_CHARS:
        text = text[:MAX_CHARS]
        text = text.rsplit(" ", 1)[0] if " " in text[MAX_CHARS // 2 :] else text
        text = text.rstrip(" ,.;:-–—|/，。；：、·")
    if not _says_something(text) or text.casefold() in _EMPTY:
        return None
    return text


def _says_something(text: str) -> bool:
    han = sum("\u4e00" <= c <= "\u9fff" for c in text)
    return han >= 1 or sum(c.isalpha() for c in text) >= 3


def language_of(text: str) -> str:
    """ "zh", "en" (any text mostly in unaccented or accented Latin letters) or "other"."""
    if is_chinese(text):
        return "zh"
    letters = [c for c in text if c.isalpha()]
    return "en" if sum(c < "\u0250" for c in letters) * 2 > len(letters) else "other"


def is_chinese(text: str) -> bool:
    """Whether a text has more Han characters than words in other scripts (as in `名画人物 OOTD`)."""
    han = sum("\u4e00" <= c <= "\u9fff" for c in text)
    return han > len(re.findall(r"[^\W\d_\u4e00-\u9fff]+", text))


def name_from(text: str | None) -> Name | None:
    """A cleaned alt text and how it reads: as a label, a title or a description."""
    cleaned = clean(text)
    if cleaned is None:
        return None
    if is_chinese(cleaned):
        role = (
            "description"
            if len(cleaned) > 16 or re.search(r"[，。；]|正在|一[个只位张名条件]", cleaned)
            else "title"
        )
        return Name(cleaned, role)
    words = cleaned.split()
    capitals = sum(w[0].isupper() for w in words)
    if len(words) >= 5 and capitals <= 0.5 * len(words):
        return Name(cleaned, "description")
    return Name(cleaned, "title")


#: Metadata fields that name what is shown, best first. `_en` and `_zh` variants are tried too.
TEXT_FIELDS = ("alt_text", "alt", "title", "caption", "description", "name")
LABEL_FIELDS = ("class", "label", "category", "class_name")
KEYWORD_FIELDS = ("tags", "keywords")


def texts_of(text: str | None, metadata: Mapping[str, Any] | None) -> list[str]:
    """Candidate names, best first: the sample's own text, then metadata fields that are strings."""
    found = [text] if text else []
    for name in TEXT_FIELDS:
        for suffix in ("", "_en", "_zh", "_cn"):
            value = (metadata or {}).get(name + suffix)
            if isinstance(value, str) and value.strip():
                found.append(value)
    return found


def keywords_of(metadata: Mapping[str, Any] | None, limit: int = 20) -> list[str]:
    """Cleaned keywords, from a list or a comma-separated string, at most 40 characters each."""
    found: list[str] = []
    for name in KEYWORD_FIELDS:
        value = (metadata or {}).get(name)
        items = re.split(r"[,;，；、|]", value) if isinstance(value, str) else value
        if not isinstance(items, list):
            continue
        cleaned = (clean(item) for item in items[: 5 * limit] if isinstance(item, str) and len(item) <= 40)
        found += [item for item in cleaned if item]
    return list(dict.fromkeys(found))[:limit]
