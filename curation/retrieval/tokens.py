"""Words for text search: Latin and other alphabets by word, Chinese, Japanese and Korean by characters.

No dictionary is needed, and hostile text costs no more than its length: NFKC and case folding, then runs of
letters and digits. A run of CJK characters becomes its single characters and its pairs (as Lucene's
CJKBigramFilter does with unigrams); a query asks for the pairs alone, for single characters only where it has
no pair. No stemming: `circle` does not find `circles`.
"""

from __future__ import annotations

import re
import unicodedata

#: Characters of one text that are read, and of one word that are kept.
MAX_CHARS, MAX_WORD_CHARS = 20_000, 64

#: Iteration marks, kana, Han (with its extensions and compatibility forms), Hangul.
_CJK = "\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
_RUNS = re.compile(f"([{_CJK}]+)|([^\\W_{_CJK}]+)")


def words_of(text: str) -> list[str]:
    """The words of a text as they are indexed, in order, repeats included."""
    found: list[str] = []
    for cjk, word in _runs(text):
        if cjk:
            found += cjk
            found += [cjk[i : i + 2] for i in range(len(cjk) - 1)]
        else:
            found.append(word[:MAX_WORD_CHARS])
    return found


def query_words(text: str) -> list[str]:
    """The words a query asks for, each once."""
    found: list[str] = []
    for cjk, word in _runs(text):
        if cjk:
            found += [cjk[i : i + 2] for i in range(len(cjk) - 1)] or [cjk]
        else:
            found.append(word[:MAX_WORD_CHARS])
    return list(dict.fromkeys(found))


def _runs(text: str) -> list[tuple[str, str]]:
    """(CJK run, "") or ("", word), in order."""
    # Again after folding: case folding can undo a composition. Cut first and last, since both can grow a text.
    plain = unicodedata.normalize("NFKC", text[:MAX_CHARS])
    return _RUNS.findall(unicodedata.normalize("NFKC", plain[:MAX_CHARS].casefold())[:MAX_CHARS])
