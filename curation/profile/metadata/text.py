"""Text found in files: bytes of unknown encoding to clean strings of bounded length."""

from __future__ import annotations

import re

#: Control characters, lone surrogates, byte-order marks, noncharacters, and the format characters that
#: reorder or hide text (bidirectional overrides, tag characters): none of them belongs in a caption.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff"
    "\U000e0000-\U000e007f]"
)
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029\x85]")
_SPACES = re.compile(r"\s+")
#: Blocks of the scripts in wide use, Latin to Thai, kana, ideographs, Hangul, and the punctuation among them.
_COMMON = re.compile(
    "[\u0000-\u06ff\u0900-\u0eff\u10a0-\u10ff\u1e00-\u206f\u20a0-\u20bf\u3000-\u3003\u3005-\u30ff\u4e00-\u9fff"
    "\uac00-\ud7a3\uff00-\uffef]"
)

# GB 2312 ideographs (rows 16..87), and its rows of punctuation, letters and digits (1..9).
_GB2312_TEXT = re.compile(rb"(?:[\x00-\x7f]|[\xb0-\xf7][\xa1-\xfe]|[\xa1-\xa9][\xa1-\xfe])*+")
_TWO_IDEOGRAPHS = re.compile(rb"(?:[\xb0-\xf7][\xa1-\xfe]){2}")
_CP1252_GAPS = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")

#: Most bytes of one text that are looked at before it is cut to its column's length.
_MAX_ENCODED_BYTES = 1 << 20


def decode_text(raw: bytes, encoding: str | None = None) -> str:
    """Bytes that declare no encoding as text; never fails. Half a character of UTF-8 at the end is left out.

    Args:
        encoding: that of the text they are part of, as of `text_encoding`; None: of these bytes alone.
    """
    raw = raw[:_MAX_ENCODED_BYTES]
    encoding = encoding or text_encoding(raw)
    return raw.decode(encoding, "ignore" if encoding == "utf-8" else "replace")


def text_encoding(raw: bytes) -> str:
    """The encoding of bytes that declare none, by its Python name; decoding with it may need "replace".

    UTF-8 where they are valid, but for a last character that was cut; else GB 18030 where everything but ASCII
    is made of GB 2312 pairs and two ideographs stand together (Chinese software writes it into ASCII fields);
    else Windows-1252, or Latin-1 where one of the five bytes is used that the former has no character for.
    """
    raw = raw[:_MAX_ENCODED_BYTES]
    try:
        raw.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError as e:
        # After nothing but ASCII, the cut character is rather one letter of another encoding.
        if e.reason == "unexpected end of data" and not raw[: e.start].isascii():
            return "utf-8"
    if _TWO_IDEOGRAPHS.search(raw) and _GB2312_TEXT.fullmatch(raw):
        return "gb18030"
    return "latin-1" if _CP1252_GAPS.search(raw) else "cp1252"


def decode_utf16(raw: bytes, order: str) -> str:
    """UTF-16 text up to its first NUL; `order` ("<" or ">") is believed only as far as the bytes agree.

    Writers often use the other byte order than their file's: letters and ideographs in the wrong order come out as
    characters of rare blocks, so the reading with more common ones wins.
    """
    raw = raw[: _MAX_ENCODED_BYTES & ~1]
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        order, raw = ("<" if raw[0] == 0xFF else ">"), raw[2:]
        return raw.decode("utf-16-le" if order == "<" else "utf-16-be", "ignore").split("\0", 1)[0]
    little = raw.decode("utf-16-le", "ignore").split("\0", 1)[0]
    big = raw.decode("utf-16-be", "ignore").split("\0", 1)[0]
    little_share, big_share = _common_share(little), _common_share(big)
    if little_share == big_share:
        return little if order == "<" else big
    return little if little_share > big_share else big


def _common_share(text: str) -> float:
    head = text[:256]
    common = sum(_COMMON.match(c) is not None for c in head)
    # Latin letters decide over ideographs: one ASCII text in the wrong order may look Chinese.
    latin = sum(c < "\u0080" for c in head)
    return (common + latin) / len(head) if head else 0.0


def clean(text: str | None, max_chars: int) -> str | None:
    """Text without control and text-direction characters, trimmed and cut; None if nothing is left.

    Line breaks become `\\n` and stay. UTF-8 that was once read as Windows-1252 is put right.
    """
    if not text:
        return None
    text = text[: 4 * max_chars + 1024]
    if not text.isascii():
        text = _repaired(text)
        text = _LINE_ENDS.sub("\n", text)
    elif "\r" in text:
        text = _LINE_ENDS.sub("\n", text)
    text = _UNWANTED.sub("", text).strip()
    return text[:max_chars].rstrip() or None


def clean_line(text: str | None, max_chars: int) -> str | None:
    """Like `clean`, on one line: every run of white space becomes one space."""
    cleaned = clean(text, 4 * max_chars)
    return _SPACES.sub(" ", cleaned)[:max_chars].rstrip() if cleaned else None


def _repaired(text: str) -> str:
    """Text whose UTF-8 bytes were taken for Windows-1252 or Latin-1, decoded again; else unchanged."""
    if max(text) > "\u2122":  # beyond Windows-1252 (its last is the trade mark sign)
        return text
    for encoding in ("cp1252", "latin-1"):
        try:
            return text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return text
