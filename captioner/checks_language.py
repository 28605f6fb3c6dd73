"""Whether a caption is written in its language, and in the plain style asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Spans whose language is not the caption's: quoted lettering and titles.
_FOREIGN = re.compile(r'"[^"]*"|“[^”]*”|「[^」]*」|『[^』]*』|‘[^’]*’|《[^》]*》')
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa]")
_WORD = re.compile(r"[^\W\d_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+")

#: A Chinese word is about this many characters, so that one brand name in Latin letters weighs like one word.
CHARS_PER_WORD = 1.6
#: Least share of words in the caption's script, and words from which a share means something.
MIN_SHARE, MIN_WORDS = 0.55, 4
#: Kana in "Chinese" beyond this share is Japanese.
MAX_KANA_SHARE = 0.08
#: Words without which English is not written. Other languages in Latin letters have at most stray ones.
_ENGLISH = frozenset(
    "the and of with is on are an at to from by its their his her one two it that which behind beside above below"
    " reads says text line".split()
)
MIN_ENGLISH_SHARE, ENGLISH_WORDS = 0.06, 20

_OPENING_EN = re.compile(
    r"^(?:(?:in )?(?:this|the)|an?) (?:\w+ )?(?:image|picture|photo|photograph|scene|shot),? ?"
    r"(?:shows?|depicts?|features?|captures?|presents?|displays?|showcases?|portrays?|illustrates?|contains?|we (?:can )?see)"
    r"(?: us)? ",
    re.I,
)
_OPENING_ZH = re.compile(
    r"^(?:在)?(?:这张|这幅|该|此|本)?(?:图片|图像|照片|画面|图)(?:中|里)?(?:主要)?"
    r"(?:展示|显示|呈现|描绘|展现|描述|拍摄)(?:的是|了|出|着)?[，,：:]?"
)
#: Phrases that interpret instead of describing.
_SUBJECTIVE = re.compile(
    r"\b(?:evok(?:es?|ing)|conveys?|conveying|a sense of|a feeling of|(?:creat|add|lend|giv)(?:es|ing) (?:a|an|the)(?: \w+){1,5}"
    r" (?:atmosphere|mood|feel|ambiance|vibe|tone)|symboli[sz](?:es?|ing)|serene|breathtaking|stunning|captivating"
    r"|picturesque|enchanting|mesmeri[sz]ing|whimsical charm|timeless|nostalgi[ac]|tranquil\w*|suggest(?:s|ing) (?:a|that)"
    r"|seems? to|appears? to be|perhaps|possibly|likely|testament to|inviting)\b"
    r"|营造[出了]|给人(?:以|一种|带来)?|令人(?!行道)|仿佛在?诉说|充满(?:了)?\w{0,6}(?:气息|氛围|感|魅力|活力)|\w{2}的氛围|美轮美奂|栩栩如生"
    r"|象征(?:着|了)|寓意(?:着)?|似乎|好像|可能是|宁静(?:而|的|祥和)|温馨|唯美|震撼|诗情画意",
    re.I,
)


def wrong_language(text: str, language: str, names: Iterable[str] = ()) -> str:
    """How a text is not in its language, in words for the model; "" if it is.

    Quoted spans, titles in 《》 and `names` (entities, lettering) are left out. Counted by words, a Han word being
    `CHARS_PER_WORD` characters. Texts with fewer than `MIN_WORDS` words of any script pass.
    """
    text = _FOREIGN.sub(" ", text)
    for name in sorted({n for n in names if len(n) > 1}, key=len, reverse=True):
        text = re.sub(re.escape(name), " ", text, flags=re.I)
    han, kana = len(_HAN.findall(text)), len(_KANA.findall(text))
    words = _WORD.findall(text)
    latin = [w for w in words if _LATIN.fullmatch(w)]
    total = (han + kana) / CHARS_PER_WORD + len(words)
    if total < MIN_WORDS:
        return ""
    own = len(latin) if language == "en" else han / CHARS_PER_WORD
    name = {"en": "English", "zh": "Chinese"}[language]
    if own < MIN_SHARE * total:
        return f"only {own / total:.0%} of it is {name}; write it in {name} throughout"
    if language == "zh" and kana > MAX_KANA_SHARE * (han + kana):
        return "it is Japanese; write it in Chinese"
    if language == "en" and len(latin) >= ENGLISH_WORDS:
        share = sum(w.casefold() in _ENGLISH for w in latin) / len(latin)
        if share < MIN_ENGLISH_SHARE:
            return "it is in Latin letters but not in English; write it in English"
    return ""


def without_opening(text: str, language: str) -> str:
    """A text without "The image shows" at its very beginning; unchanged if little would remain."""
    match = (_OPENING_EN if language == "en" else _OPENING_ZH).match(text)
    rest = text[match.end() :].lstrip() if match else ""
    if len(rest) < 4 or re.match(r"(?:that|how|where|什么)\b", rest, re.I):
        return text
    return rest[0].upper() + rest[1:]


def subjective_phrases(text: str) -> list[str]:
    """Phrases of mood, judgment or guess, quotations apart."""
    return [m.group() for m in _SUBJECTIVE.finditer(_FOREIGN.sub(" ", text))]
