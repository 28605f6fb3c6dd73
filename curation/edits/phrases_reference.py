"""Instructions that speak of several sources by their number."""

from __future__ import annotations

from collections.abc import Sequence

from .phrases import Choose, Referent
from .phrases_en import PLACES as EN_PLACES
from .phrases_zh import PLACES as ZH_PLACES

_EN_ORDINALS = ("first", "second", "third", "fourth")
_ZH_ORDINALS = ("第一张", "第二张", "第三张", "第四张")
_KEEP_EN = (
    "Leave the rest of the first picture unchanged.",
    "Keep everything else in the first picture as it is.",
)
_KEEP_ZH = ("第一张图的其余部分保持不变。", "第一张图其他地方不要改动。")

_EN_PANELS = {
    (1, 2): ("put the two pictures side by side, the first on the left", "join both pictures into one, from left to right"),
    (2, 1): ("stack the two pictures, the first on top", "place the second picture below the first"),
    (1, 3): ("put the three pictures in a row, from left to right", "join the three pictures side by side in their order"),
    (2, 2): ("arrange the four pictures in a two-by-two grid, row by row", "make a grid of the four pictures, two in each row, in their order"),
}  # fmt: skip
_ZH_PANELS = {
    (1, 2): ("把两张图左右拼接，第一张在左边", "将两张图按从左到右的顺序拼成一张"),
    (2, 1): ("把两张图上下拼接，第一张在上面", "将第二张图放在第一张图下方，拼成一张"),
    (1, 3): ("把三张图从左到右排成一行", "将三张图按顺序横向拼接"),
    (2, 2): ("把四张图按行排成两行两列", "将四张图按顺序拼成2×2的网格"),
}


def compose(things: Sequence[tuple[Referent, str]], choose: Choose) -> dict[str, str]:
    """Set things into the first picture; the n-th of them is shown by picture n + 1.

    Args:
        things: what each is called, and its place in the target (a key of `PLACES`).
    """
    verb = choose("verb", ("put", "place", "set"))
    en = " and ".join(
        f"the {_bare(t.en, EN_PLACES[p])} from the {_EN_ORDINALS[n]} picture {EN_PLACES[p]}"
        for n, (t, p) in enumerate(things, 1)
    )
    short_en = (
        f"{verb.capitalize()} {en} of the first picture." if len(things) == 1 and "corner" in en else None
    )
    short_en = short_en or f"In the first picture, {verb} {en}."
    zh = "，".join(
        f"把{_ZH_ORDINALS[n]}图中的{_bare_zh(t.zh, ZH_PLACES[p])}放到{ZH_PLACES[p]}"
        for n, (t, p) in enumerate(things, 1)
    )
    short_zh = f"在第一张图里，{zh}。"
    return {
        "en_short": short_en,
        "en_long": f"{short_en} {choose('keep', _KEEP_EN)}",
        "zh_short": short_zh,
        "zh_long": short_zh + choose("keep", _KEEP_ZH),
    }


def panel(rows: int, columns: int, choose: Choose) -> dict[str, str]:
    """Join pictures in their order. KeyError for a layout without words."""
    at = (rows, columns)
    en, zh = choose("panel", _EN_PANELS[at]), choose("panel", _ZH_PANELS[at])
    return {
        "en_short": f"{en[0].upper()}{en[1:]}.",
        "en_long": f"{en[0].upper()}{en[1:]}, with a narrow white gap between them. Do not change the pictures themselves.",
        "zh_short": f"{zh}。",
        "zh_long": f"{zh}，中间留一条窄白边，不要改动图片本身。",
    }


def _bare(name: str, place: str) -> str:
    """A thing's name without its place, which it has where two are alike."""
    return name.removesuffix(place).strip()


def _bare_zh(name: str, place: str) -> str:
    return name.removeprefix(f"{place}的")
