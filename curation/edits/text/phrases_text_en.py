"""Clauses about rendered text in English. New text is always quoted, letter by letter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..phrases_en import PLACES
from .items import color_name, quoted
from .phrase_lists import bundled

_TO = {
    place: text.replace("in the", "to the").replace("at the", "to the").replace("on the", "to the")
    for place, text in PLACES.items()
}
_LANGUAGES = {"en": "English", "zh": "Chinese"}
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}
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
    line = other_line(facts) if facts.type == "text.replace" else None
    if line is not None:
        number, before, after = line
        phrases = (
            'change the {3} line of {0} from "{1}" to "{2}"',
            'replace "{1}" with "{2}" in {0}',
            'rewrite the {3} line of {0} as "{2}"',
        )
        return choose(facts.key, phrases).format(_the(facts), before, after, _ORDINALS[number])
    if facts.type == "text.translate" and not translates(facts):
        phrases = ('replace {0} with the {2} text "{1}"', 'change {0} to the {2} text "{1}"')
        return choose(facts.key, phrases).format(_the(facts), new(facts), _LANGUAGES[facts.after["lang"]])
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
    return quoted(facts.after["text"])


def old(facts: Any) -> str:
    return quoted(facts.before["text"])


def other_color(facts: Any) -> str:
    """Name of the new color. KeyError where the old one has the same name."""
    name = color_name(facts.after["color"])
    if name == color_name(facts.before["color"]):
        raise KeyError("color")
    return name


def other_line(facts: Any) -> tuple[int, str, str] | None:
    """(number, before, after) of the only line in which two texts of as many lines differ; None for others."""
    before, after = facts.before["text"].split("\n"), facts.after["text"].split("\n")
    if not 1 < len(before) == len(after) <= len(_ORDINALS):
        return None
    other = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    if len(other) != 1 or before.count(before[other[0]]) > 1:
        return None
    return other[0], before[other[0]], after[other[0]]


def translates(facts: Any) -> bool:
    """Whether both texts are known to say the same; another language alone is no translation."""
    return bundled().translated(facts.before["text"], facts.before["lang"]) == facts.after["text"]


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
    lines = facts.after["text"].split("\n")
    if facts.after["vertical"]:
        phrases = ('add the text "{0}" {1}, set vertically', 'write "{0}" vertically {1} in {2} letters')
    elif len(lines) in _COUNTS:
        told = ", ".join(f'"{line}"' for line in lines[:-1]) + f' and "{lines[-1]}"'
        phrases = (
            "add {3} lines of text {1}: {0}",
            "write {0} {1} in {2} letters, one below the other",
            "put {0} {1}, in {3} lines",
        )
        return choose(facts.key, phrases).format(
            told, PLACES[facts.target.place], color_name(facts.after["color"]), _COUNTS[len(lines)]
        )
    return choose(facts.key, phrases).format(
        new(facts), PLACES[facts.target.place], color_name(facts.after["color"])
    )


def _font(facts: Any, choose: Any) -> str:
    before, after = facts.before["font"], facts.after["font"]
    if not after["style"] or all(before[k] == after[k] for k in ("style", "bold", "italic")):
        phrases = ("set {0} in {1}", "switch the typeface of {0} to {1}", "use the font {1} for {0}")
        return choose(facts.key, phrases).format(_the(facts), after["family"])
    if before["style"] == after["style"] and before["italic"] == after["italic"]:
        return f"make {_the(facts)} {'bold' if after['bold'] else 'less bold'}"
    if before["style"] == after["style"] and before["bold"] == after["bold"]:
        return f"set {_the(facts)} {'in italics' if after['italic'] else 'upright instead of in italics'}"
    cut = ("bold " if after["bold"] else "") + ("italic " if after["italic"] else "")
    phrases = ("switch {0} to {1} typeface", "set {0} in {1} font")
    look = f"{cut}{_STYLES[after['style']]}"
    return choose(facts.key, phrases).format(_the(facts), f"{'an' if look[0] in 'aeiou' else 'a'} {look}")


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
    if differing(facts, "surface"):
        parts.append(_LYING[(facts.after["surface"] or {}).get("kind")].format(_the(facts)))
    if differing(facts, "align") and "\n" in facts.after["text"]:
        way = {"left": "to the left", "center": "in the middle", "right": "to the right"}[
            facts.after["align"]
        ]
        parts.append(f"align the lines of {_the(facts)} {way}")
    if not parts:
        raise KeyError("align, anchor or width")
    return parts[0] + "".join(f" and {p.replace(_the(facts), 'it')}" for p in parts[1:])


_LYING = {
    None: "lay {0} flat on the picture",
    "quad": "show {0} in perspective",
    "cylinder": "bend {0} around a curved surface",
}


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
        old_edge = facts.before["stroke"]
        if edge and old_edge:
            if color_name(edge["color"]) != color_name(old_edge["color"]):
                parts.append(f"make the outline of {_the(facts)} {color_name(edge['color'])}")
            else:
                more = edge["width_px"] > old_edge["width_px"]
                parts.append(f"make the outline of {_the(facts)} {'thicker' if more else 'thinner'}")
        else:
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
    if not parts:
        raise KeyError("light")
    return parts[0] + "".join(f" and {p.replace(_the(facts), 'it')}" for p in parts[1:])


_OWN = {"text.add": _add, "text.font": _font, "text.size": _size, "text.move": _move, "text.effect": _effect}
