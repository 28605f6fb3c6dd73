"""Captions of scenes, five kinds in English and Chinese, exact in every word; and prompts for chosen concepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .rare import ZH_RARE
from .reading import relations_of
from .world import SceneSpec, Thing

ZH_COLORS = {
    **{"red": "红色", "orange": "橙色", "yellow": "黄色", "green": "绿色", "cyan": "青色", "blue": "蓝色"},
    **{"purple": "紫色", "black": "黑色", "white": "白色", "gray": "灰色", "pink": "粉色", "beige": "米色"},
}
ZH_SHAPES = {
    **{"circle": "圆形", "square": "正方形", "triangle": "三角形", "diamond": "菱形"},
    **{"cross": "十字", "ring": "圆环", "bar": "横条", "star": "五角星"},
    **ZH_RARE,
}
ZH_PLACES = {(0, 0): "左上", (0, 1): "右上", (1, 0): "左下", (1, 1): "右下"}
EN_PLACES = {(0, 0): "top left", (0, 1): "top right", (1, 0): "bottom left", (1, 1): "bottom right"}
_EN_COUNTS = {1: "one thing", 2: "two things", 3: "three things", 4: "four things"}
_ZH_COUNTS = {1: "一", 2: "两", 3: "三", 4: "四"}
_ZH_RELATIONS = {"left of": "在{other}的左边", "above": "在{other}的上方", "diagonal to": "在{other}的斜对面"}


def captions(spec: SceneSpec, seed: int = 0) -> dict[str, dict[str, Any]]:
    """`{"en": {"long", "medium", "short", "tags", "user_prompts"}, "zh": {...}}`; texts, and lists of texts.

    Args:
        seed: with the scene, decides which simulated user prompts are written.
    """
    rng = np.random.default_rng([seed, int(spec.id[:8], 16)])
    one = spec.things[int(rng.integers(len(spec.things)))]
    return {"en": _english(spec, one), "zh": _chinese(spec, one)}


def prompt_of(spec: SceneSpec, language: str = "en") -> str:
    """The prompt that asks for a scene and nothing else: things, relations of the first two, and the background."""
    name = {"en": en_name, "zh": zh_name}[language]
    if language == "en":
        listed = _and([f"{_a(name(t))}" for t in spec.things])
        related = [
            f"the {en_name(a)} is {word} the {en_name(b)}" for word, a, b in relations_of(spec.things)[:1]
        ]
        return ", ".join([listed, *related]) + f", {spec.background} background"
    listed = "、".join(f"一个{name(t)}" for t in spec.things)
    related = [
        f"{zh_name(a)}{_ZH_RELATIONS[word].format(other=zh_name(b))}"
        for word, a, b in relations_of(spec.things)[:1]
    ]
    return "，".join([listed, *related]) + f"，{ZH_COLORS[spec.background]}背景"


def en_name(thing: Thing) -> str:
    if thing.glyph:
        return f'{thing.color} {_glyph_kind(thing.glyph)[0]} "{thing.glyph}"'
    return f"{thing.color} {thing.kind}"


def zh_name(thing: Thing) -> str:
    if thing.glyph:
        return f"{ZH_COLORS[thing.color]}{_glyph_kind(thing.glyph)[1]}“{thing.glyph}”"
    return f"{ZH_COLORS[thing.color]}{ZH_SHAPES[thing.kind]}"


def _english(spec: SceneSpec, one: Thing) -> dict[str, Any]:
    listed = _and([_a(en_name(t)) for t in spec.things])
    placed = [f"{_a(en_name(t))} at the {EN_PLACES[t.row, t.column]}" for t in spec.things]
    related = [f"The {en_name(a)} is {word} the {en_name(b)}." for word, a, b in relations_of(spec.things)]
    is_are = "is" if len(spec.things) == 1 else "are"
    return {
        "long": f"There {is_are} {_EN_COUNTS[len(spec.things)]} on a {spec.background} background: "
        + _and(placed)
        + "."
        + "".join(f" {r}" for r in related),
        "medium": _sentence(f"{_and(placed)}, on a {spec.background} background."),
        "short": _sentence(f"{listed} on {spec.background}."),
        "tags": [*dict.fromkeys(en_name(t) for t in spec.things), f"{spec.background} background"],
        "user_prompts": [en_name(one), _a(en_name(one))],
    }


def _chinese(spec: SceneSpec, one: Thing) -> dict[str, Any]:
    listed = "、".join(f"一个{zh_name(t)}" for t in spec.things)
    placed = "，".join(f"{ZH_PLACES[t.row, t.column]}是一个{zh_name(t)}" for t in spec.things)
    related = "".join(
        f"{zh_name(a)}{_ZH_RELATIONS[word].format(other=zh_name(b))}。"
        for word, a, b in relations_of(spec.things)
    )
    ground = f"{ZH_COLORS[spec.background]}背景"
    return {
        "long": f"{ground}上有{_ZH_COUNTS[len(spec.things)]}个图形：{placed}。{related}",
        "medium": f"{ground}上，{placed}。",
        "short": f"{ground}上的{listed}。",
        "tags": [*dict.fromkeys(zh_name(t).replace("“", '"').replace("”", '"') for t in spec.things), ground],
        "user_prompts": [zh_name(one), f"画一个{zh_name(one)}"],
    }


def _glyph_kind(glyph: str) -> tuple[str, str]:
    if glyph.isdigit():
        return "digit", "数字"
    return ("letter", "字母") if glyph.isascii() else ("character", "汉字")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
