"""The one spelling under which a name is looked up: `fold`.

NFKC, case folding, invisible format characters dropped, underscores and runs of blanks to one blank, Traditional
Han characters to Simplified ones (character by character, see `han.py`). Two texts name the same alias exactly
when their folds are equal; folding twice changes nothing.
"""

from __future__ import annotations

import re
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

from .han import FROM, TO

_HAN = str.maketrans(FROM, TO)
# Format characters (zero-width joiners, bidi marks, soft hyphens) that nobody types when searching.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)


def _step(text: str) -> str:
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(_INVISIBLE.sub("", text.translate(_HAN)).replace("_", " ").split())


def fold(text: str) -> str:
    """The lookup form of a name, tag or title.

    >>> fold("New_York  City"), fold("臺灣"), fold("Ｓtraße")
    ('new york city', '台湾', 'strasse')
    """
    if text.isascii():
        return " ".join(text.lower().replace("_", " ").split())
    # Dropping an invisible character can bring two together that compose; a second step settles that.
    while (folded := _step(text)) != text:
        text = folded
    return folded


def fold_array(texts: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """`fold` of every string of an Arrow column; nulls stay null. ASCII strings never become Python objects."""
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    return pa.chunked_array([_fold_chunk(c.cast(pa.string())) for c in chunks], pa.string())


def _fold_chunk(texts: pa.Array) -> pa.Array:
    ascii_only = pc.fill_null(pc.string_is_ascii(texts), True)
    plain = pc.replace_substring(pc.ascii_lower(texts), "_", " ")
    # The characters str.split() splits ASCII text at.
    plain = pc.ascii_trim_whitespace(pc.replace_substring_regex(plain, r"[\t\n\v\f\r\x1c-\x1f ]+", " "))
    rest = pa.array([fold(t) for t in texts.filter(pc.invert(ascii_only)).to_pylist()], pa.string())
    return pc.replace_with_mask(plain, pc.invert(ascii_only), rest)
