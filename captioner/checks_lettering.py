"""Lettering in captions: what is quoted must be in the picture, what is in the picture must be quoted.

Small differences in how a string was copied (typographic quotes, width, case, blanks) are put right, because the OCR
pass has the characters; anything else is a fault. Only quotation marks that can open a quotation are read as such: inches
and apostrophes are not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from .schema import QUOTES, OcrString

#: Marks that enclose lettering, opening and closing. The straight mark may not follow a letter or digit of a Latin word
#: (5" screen) and may not stand beside a blank on its inside.
_SPAN = re.compile(r'“([^“”]*)”|「([^「」]*)」|『([^『』]*)』|(?<![0-9A-Za-z])"(?=\S)([^"]*?)(?<=\S)"')
_HELD = "\ue000"
#: Strings with fewer letters and digits are found only between marks: "A" and "5" are in any text.
MIN_UNQUOTED_CHARS = 4
#: Longest string quoted as a tag, and how many, as in the `template` engine.
MAX_TAG_CHARS, MAX_TEXT_TAGS = 60, 20

_WATERMARK = re.compile(r"\bwatermark(?:s|ed|ing)?\b(?! paper)|(?<!木版)(?<!木刻)水印(?!木刻|版画)", re.I)
_ASCII_MARKS = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "…": "...", "–": "-", "—": "-"})


def spans(text: str) -> list[str]:
    """Quoted spans of a text, without their marks."""
    return [next(g for g in m.groups() if g is not None) for m in _SPAN.finditer(text)]


def restored(text: str, strings: Sequence[str], language: str) -> tuple[str, bool]:
    """A caption with its quotations in the marks of its language and the characters of the picture.

    Returns:
        The text, and whether characters of a quoted string had to be put right (other marks do not count).
    """
    opening, closing = QUOTES[language]
    by_form = {_form(s): s for s in reversed(strings) if _form(s)}
    held: list[str] = []
    changed = False

    def hold(string: str) -> str:
        held.append(f"{opening}{string}{closing}")
        return _HELD + chr(0xE001 + len(held) - 1)

    # Strings that contain quotation marks first and as they are: no pattern can tell where they end.
    text = text.replace(_HELD, "")
    for string in sorted(set(strings), key=len, reverse=True):
        for left, right in (("“", "”"), ('"', '"'), ("「", "」"), ("『", "』")):
            if left + string + right in text and len(held) < 4_000:
                text = text.replace(left + string + right, hold(string))

    def span(match: re.Match[str]) -> str:
        nonlocal changed
        inside = next(g for g in match.groups() if g is not None)
        string = by_form.get(_form(inside))
        if string is not None and len(held) < 4_000:
            changed = True
            tail = inside[len(inside.rstrip(",.;，。；、")) :] if not string.endswith(inside[-1:]) else ""
            return hold(string) + tail
        return (
            f"{opening}{inside}{closing}"
            if opening not in inside and closing not in inside
            else match.group()
        )

    text = _SPAN.sub(span, text)
    return re.sub(_HELD + "(.)", lambda m: held[ord(m.group(1)) - 0xE001], text, flags=re.S), changed


def unsupported(text: str, strings: Iterable[str], allowed: Iterable[str] = ()) -> list[str]:
    """Quoted spans that are no lettering of the picture.

    A span is supported when it is part of a string, or several strings one after the other, or (`allowed`) a name.
    """
    strings = sorted(set(strings), key=len, reverse=True)
    for string in strings:
        for left, right in (("“", "”"), ('"', '"'), ("「", "」"), ("『", "』")):
            text = text.replace(left + string + right, " ")
    forms = [f for f in (_form(s) for s in strings) if f]
    everything = "".join(_form(s) for s in strings)
    names = {_form(name) for name in allowed}
    found = []
    for inside in spans(text):
        form = _form(inside)
        if not form or form in names or form in everything or any(form in f for f in forms):
            continue
        for part in sorted(forms, key=len, reverse=True):
            form = form.replace(part, " ")
        if form.strip():
            found.append(inside)
    return found


def missing(text: str, strings: Sequence[str]) -> list[str]:
    """Strings that a caption does not hold, blanks apart. Short ones count only between quotation marks."""
    squashed = _squashed(text)
    quoted = [_squashed(s) for s in spans(text)]
    absent = []
    for string in strings:
        wanted = _squashed(string)
        # A Han character says more than a letter: three of them are no accident.
        short = sum(1 + (c >= "\u3400") / 2 for c in wanted if c.isalnum()) < MIN_UNQUOTED_CHARS
        marked = any(
            left + wanted + right in squashed for left, right in (("“", "”"), ('"', '"'), ("《", "》"))
        )
        if not marked and not (any(wanted in q for q in quoted) if short else wanted in squashed):
            absent.append(string)
    return absent


def appended(text: str, absent: Sequence[str], strings: Sequence[OcrString], language: str) -> str:
    """A long caption with the strings that it lacks, each with carrier and place as the OCR pass has them."""
    opening, closing = QUOTES[language]
    by_text = {s.text: s for s in reversed(strings)}
    told = []
    for string in absent:
        s = by_text[string]
        quoted = f"{opening}{string}{closing}"
        if language == "en":
            what = (
                "A watermark"
                if s.kind == "watermark"
                else "Text" + (f" on the {s.carrier}" if s.carrier else "")
            )
            told.append(f"{what}{_PLACES_EN[s.cell] if s.cell else ''} reads {quoted}.")
        else:
            what = "水印" if s.kind == "watermark" else "文字"
            told.append(f"{_PLACES_ZH[s.cell] if s.cell else '画面中'}的{what}为{quoted}。")
    glue = " " if language == "en" else ""
    return glue.join([text, *told])


_PLACES_EN = {
    "top-left": " at the top left", "top": " at the top", "top-right": " at the top right", "left": " on the left",
    "center": " in the center", "right": " on the right", "bottom-left": " at the bottom left",
    "bottom": " at the bottom", "bottom-right": " at the bottom right",
}  # fmt: skip
_PLACES_ZH = {
    "top-left": "左上角", "top": "上方", "top-right": "右上角", "left": "左侧", "center": "中央", "right": "右侧",
    "bottom-left": "左下角", "bottom": "下方", "bottom-right": "右下角",
}  # fmt: skip


def tags_with_lettering(tags: Sequence[str], strings: Sequence[OcrString]) -> tuple[tuple[str, ...], bool]:
    """Tags in which lettering, and nothing else, stands in double quotes.

    Tags that are a string of the picture are quoted, quoted tags that are none are dropped, and strings short enough
    for a tag that no tag has are added (watermarks are not: they are no content).

    Returns:
        The tags, and whether any was dropped or added.
    """
    by_form = {_form(s.text): s.text for s in reversed(strings) if _form(s.text)}
    names, quoted, dropped = [], {}, False
    for tag in tags:
        bare = tag.strip().strip('“”"「」『』').strip()
        string = by_form.get(_form(bare))
        if string is not None and (bare != tag.strip() or string == bare):
            quoted[string] = None
        elif bare != tag.strip():
            dropped = True
        elif bare:
            names.append(bare)
    content = [
        s.text for s in strings if s.kind != "watermark" and s.legible and len(s.text) <= MAX_TAG_CHARS
    ]
    added = [s for s in dict.fromkeys(content) if s not in quoted][: max(0, MAX_TEXT_TAGS - len(quoted))]
    return (*names, *(f'"{s}"' for s in (*quoted, *added))), dropped or bool(added)


def claims_watermark(text: str) -> bool:
    """Whether a text speaks of a watermark (not of watermarked paper or a 水印 woodcut), quotations apart."""
    return bool(_WATERMARK.search(_SPAN.sub(" ", text)))


@lru_cache(maxsize=8192)  # the strings of one picture are compared with every field of its captions
def _form(text: str) -> str:
    """Letters and digits of a string after NFKC, case folded; where it has none, all of it without blanks."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum()) or "".join(folded.translate(_ASCII_MARKS).split())


def _squashed(text: str) -> str:
    return "".join(text.split())
