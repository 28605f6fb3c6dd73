"""Clauses about rendered text in English. New text is always quoted, letter by letter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..phrases_en import PLACES
from .items import color_name, quoted

_TO = {
    place: text.replace("in the", "to the").replace("at the", "to the").replace("on the", "to the")
    for place, text in PLACES.items()
}
_LANGUAGES = {"en": "English", "zh": "Chinese"}
_STYLES = {"serif": "serif", "sans": "sans-serif", "mono": "monospaced", "script": "handwritten"}

_FIXED: dict[str, tuple[str, ...]] = {
    "text.remove": ("remove {the}", "erase {the}", "delete {the}"),
    "text.replace": (
        'replace {the} with "{new}"',
        'change {the} to "{new}"',
        'change {the} so that it reads "{new}"',
    ),
    "text.translate": (
        'translate {the} into {language}, so that it reads "{new}"',
        'translate {the} into {language}: "{new}"',
    ),
    "text.swap": (
        'swap the texts "{old}" and "{new}"',
        'let the texts "{old}" and "{new}" trade places, each in the style of its new place',
    ),
    "text.color": ("turn {the} {color}", "make {the} {color}", "recolor {the} in {color}"),
}


def clause(facts: Any, choose: Any) -> str:
    """One imperative clause, lower case, without a full stop; empty for a box, which names what it is drawn around.

    Raises:
        KeyError, AttributeError, TypeError: what has no words, or a text that has no name.
    """
    if facts.type == "text.box":
        return ""
    own = _OWN.get(facts.type)
    if own is not None:
        return own(facts, choose)
    values = {"the": lambda: _the(facts), "new": lambda: new(facts), "old": lambda: old(facts)}
    values["language"] = lambda: _LANGUAGES[facts.after["lang"]]
    values["color"] = lambda: other_color(facts)
    return choose(facts.key, _FIXED[facts.type]).format_map(Lazy(values))


class Lazy:
    """Values of a template, worked out only when it names them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values[name]()


def new(facts: Any) -> str:
    return quoted(facts.after["content"], facts.after["lang"])


def old(facts: Any) -> str:
    return quoted(facts.before["content"], facts.before["lang"])


def other_color(facts: Any) -> str:
    """Name of the new color. KeyError where the old one has the same name."""
    name = color_name(facts.after["color"])
    if name == color_name(facts.before["color"]):
        raise KeyError("color")
    return name


def differing(facts: Any, *fields: str) -> list[str]:
    return [f for f in fields if facts.before.get(f) != facts.after.get(f)]


def _the(facts: Any) -> str:
    return f"the {facts.source.en}"


def _add(facts: Any, choose: Any) -> str:
    phrases = (
        'add the text "{0}" {1}',
        'write "{0}" {1} in {2} letters',
        'put the text "{0}" {1}, in {2}',
        'add the {2} text "{0}" {1}',
    )
    if facts.after["vertical"]:
        phrases = ('add the text "{0}" {1}, set vertically', 'write "{0}" vertically {1} in {2} letters')
    return choose(facts.key, phrases).format(
        new(facts), PLACES[facts.target.place], color_name(facts.after["color"])
    )


def _font(facts: Any, choose: Any) -> str:
    before, after = facts.before["font"], facts.after["font"]
    if before["style"] == after["style"] and before["italic"] == after["italic"]:
        return f"make {_the(facts)} {'bold' if after['bold'] else 'less bold'}"
    if before["style"] == after["style"] and before["bold"] == after["bold"]:
        return f"set {_the(facts)} {'in italics' if after['italic'] else 'upright instead of in italics'}"
    cut = ("bold " if after["bold"] else "") + ("italic " if after["italic"] else "")
    phrases = ("switch {0} to a {1}{2} typeface", "set {0} in a {1}{2} font")
    return choose(facts.key, phrases).format(_the(facts), cut, _STYLES[after["style"]])


def _size(facts: Any, choose: Any) -> str:
    ratio = float(facts.after["size_px"]) / float(facts.before["size_px"])
    much = "much " if ratio > 1.6 or ratio < 0.6 else ""
    return (
        f"make {_the(facts)} {much}{choose(facts.key, ('larger', 'bigger') if ratio > 1 else ('smaller',))}"
    )


def _move(facts: Any, choose: Any) -> str:
    parts = []
    if differing(facts, "position"):
        parts.append(_shift(facts, choose))
    if differing(facts, "rotation"):
        degrees = float(facts.after["rotation"]) - float(facts.before["rotation"])
        way = "clockwise" if degrees > 0 else "counterclockwise"
        parts.append(f"rotate {_the(facts)} by {abs(degrees):g} degrees {way}")
    if differing(facts, "vertical"):
        way = "vertically, from top to bottom" if facts.after["vertical"] else "horizontally"
        parts.append(f"set {_the(facts)} {way}")
    if not parts:
        raise KeyError("align or anchor")
    return parts[0] + "".join(f" and {p.replace(_the(facts), 'it')}" for p in parts[1:])


def _shift(facts: Any, choose: Any) -> str:
    place = facts.target.place
    if place != facts.source.place:
        return choose(facts.key, ("move {0} {1}", "shift {0} {1}")).format(_the(facts), _TO[place])
    x, y = (
        float(b) - float(a) for a, b in zip(facts.before["position"], facts.after["position"], strict=True)
    )
    way = ("to the right" if x > 0 else "to the left") if abs(x) >= abs(y) else ("down" if y > 0 else "up")
    return f"move {_the(facts)} a little {way}"


def _effect(facts: Any, choose: Any) -> str:
    parts = []
    if differing(facts, "stroke"):
        edge = facts.after["stroke"]
        if edge and facts.before["stroke"]:
            raise KeyError("one outline for another")
        parts.append(
            f"give {_the(facts)} a {color_name(edge['color'])} outline"
            if edge
            else f"remove the outline from {_the(facts)}"
        )
    if differing(facts, "shadow"):
        if facts.after["shadow"] and facts.before["shadow"]:
            raise KeyError("one shadow for another")
        parts.append(
            choose(facts.key, ("add a shadow behind {0}", "give {0} a drop shadow")).format(_the(facts))
            if facts.after["shadow"]
            else f"remove the shadow from {_the(facts)}"
        )
    return parts[0] + "".join(f" and {p.replace(_the(facts), 'it')}" for p in parts[1:])


_OWN = {"text.add": _add, "text.font": _font, "text.size": _size, "text.move": _move, "text.effect": _effect}
