"""Clauses of editing instructions in English."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

PLACES = {
    "top left": "in the upper left corner",
    "top": "at the top",
    "top right": "in the upper right corner",
    "left": "on the left",
    "center": "in the center",
    "right": "on the right",
    "bottom left": "in the lower left corner",
    "bottom": "at the bottom",
    "bottom right": "in the lower right corner",
}
_TO = {
    place: text.replace("in the", "to the").replace("at the", "to the").replace("on the", "to the")
    for place, text in PLACES.items()
}

#: (adverb of a rise or fall, by degree)
_DEGREES = {"slight": "slightly ", "plain": "", "strong": "much "}
_STRONGLY = {"slight": "slightly", "plain": "", "strong": "strongly"}

STYLES = {
    "film": "an old film photograph",
    "sketch": "a pencil sketch",
    "posterize": "a poster with flat colors",
    "cartoon": "a cartoon",
    "pixelate": "pixel art",
    "emboss": "an embossed relief",
    "duotone": "a two-color print",
    "vignette": "a vignetted photograph",
    "art": "a painting",
}
WEATHER = {"rain": "rain", "snow": "falling snow", "fog": "fog"}
LIGHTS = {
    "dusk": "the warm light of dusk",
    "night": "moonlight at night",
    "dawn": "the pale light of dawn",
    "side_left": "light that falls in from the left",
    "side_right": "light that falls in from the right",
    "overcast": "the flat light of an overcast day",
}

_FIXED: dict[str, tuple[str, ...]] = {
    "object.remove": ("remove {the_source}", "take {the_source} out of the picture", "erase {the_source}"),
    "object.replace": ("replace {the_source} with {a_target}", "swap {the_source} for {a_target}"),
    "object.extract": (
        "cut out {the_source} and put {it} on a plain {ground} background",
        "extract {the_source} onto a plain {ground} background",
    ),
    "attr.color": (
        "change the color of {the_source} to {color}",
        "make {the_source} {color}",
        "recolor {the_source} in {color}",
    ),
    "attr.material": (
        "make {the_source} out of {material}",
        "change the material of {the_source} to {material}",
    ),
    "style.change": ("change the style to {style}", "make it look like {style} instead"),
    "reference.sketch": (
        "turn this pencil sketch into a realistic color photograph",
        "make a photograph from this sketch, with natural colors",
    ),
    "pixel.grey": ("make the picture black and white", "turn the photo to grayscale", "remove all color"),
    "pixel.colorize": ("colorize this black-and-white photo", "give the picture natural colors"),
    "pixel.blur": ("blur the picture {strongly}", "put the picture out of focus"),
    "pixel.deblur": ("sharpen the blurry picture", "remove the blur", "bring the picture into focus"),
    "pixel.noise": ("add {some} noise", "make the picture {strongly} grainy"),
    "pixel.denoise": ("remove the noise", "clean the grain from the picture", "denoise the photo"),
    "pixel.compress": ("add visible JPEG artifacts", "make the picture look heavily compressed"),
    "pixel.restore": ("remove the compression artifacts", "restore the details lost to compression"),
    "pixel.downscale": (
        "make the picture look low-resolution",
        "make it look like a tiny image that was enlarged",
    ),
    "style.vignette": ("add a dark vignette", "darken the corners with a vignette"),
    "pixel.upscale": (
        "raise the resolution and bring back fine detail",
        "turn this low-resolution picture into a sharp one",
    ),
    "scene.clear": ("remove the {weather_before}", "clear the weather: no more {weather_before}"),
    "viewpoint.camera": ("show the scene from another viewpoint",),
}


def clause(facts: Any, choose: Any) -> str:
    """One imperative clause, lower case, without a full stop. KeyError for what has no words."""
    own = _OWN.get(facts.type)
    if own is not None:
        return " ".join(own(facts, choose).split())
    if facts.type.startswith("style.") and facts.type not in _FIXED:
        return choose(
            facts.key, ("turn the picture into {0}", "make it look like {0}", "restyle the image as {0}")
        ).format(STYLES[facts.type.partition(".")[2]])
    if facts.type.startswith("text."):
        from .text import phrases_text_en  # the words of text edits lie beside their renderer

        return phrases_text_en.clause(facts, choose)
    return " ".join(choose(facts.key, _FIXED[facts.type]).format_map(_Values(facts)).split())


def sentence(clauses: Sequence[str], choose: Any, keep: bool = False) -> str:
    """Clauses as one sentence; with `keep`, a second one about everything else."""
    if _WHOLE.search(clauses[0]):
        # Named once; `out of the picture` stays.
        clauses = [clauses[0], *(_WHOLE.sub("it", c) for c in clauses[1:])]
    text = clauses[0]
    if len(clauses) == 2:
        text += choose("join", (", and ", " and then ")) + clauses[1]
    elif len(clauses) > 2:
        text = ", ".join(clauses[:-1]) + ", and " + clauses[-1]
    text = text[0].upper() + text[1:] + "."
    if keep:
        text += " " + choose(
            "keep",
            (
                "Keep everything else exactly as it is.",
                "Leave the rest of the picture unchanged.",
                "Do not change anything else.",
            ),
        )
    return text


#: The picture as what a clause acts on.
_WHOLE = re.compile(r"(?<!of )(?<!to )(?<!in )(?<!from )\bthe (?:picture|photo|image)\b")


def the(referent: Any) -> str:
    return f"the {referent.en}"


def a(referent: Any) -> str:
    if referent.plural:
        return referent.en
    return f"{'an' if referent.en[0].lower() in 'aeiou' else 'a'} {referent.en}"


def pronoun(clause_: str, referent: Any) -> str:
    return clause_.replace(the(referent), "them" if referent.plural else "it")


class _Values:
    """Values of a template, worked out only when it names them."""

    def __init__(self, facts: Any) -> None:
        self._facts = facts

    def __getitem__(self, name: str) -> str:
        facts = self._facts
        return {
            "the_source": lambda: the(facts.source),
            "it": lambda: "them" if facts.source.plural else "it",
            "a_target": lambda: a(facts.target),
            "ground": lambda: facts.after["ground"],
            "color": lambda: facts.color,
            "material": lambda: facts.after["material"],
            "style": lambda: STYLES[facts.after["name"]],
            "weather_before": lambda: WEATHER[facts.before["kind"]],
            "strongly": lambda: _STRONGLY[facts.degree],
            "some": lambda: {"slight": "a little", "plain": "some", "strong": "strong"}[facts.degree],
        }[name]()


def _add(facts: Any, choose: Any) -> str:
    where = PLACES.get(facts.place or "", "")
    return (
        choose(facts.key, ("add {0} {1}", "place {0} {1}", "put {0} {1}"))
        .format(a(facts.target), where)
        .strip()
    )


def _move(facts: Any, choose: Any) -> str:
    from .phrases import place_of

    place, start = facts.place, place_of(facts.before)
    if place is None:
        raise KeyError("x, y")
    if start == place:
        return _nudge(facts)
    return choose(facts.key, ("move {0} {1}", "shift {0} {1}")).format(the(facts.source), _TO[place])


def _nudge(facts: Any) -> str:
    """Within one cell of the grid: a direction says more than a place."""
    x, y = (float(facts.after[k]) - float(facts.before[k]) for k in ("x", "y"))
    way = ("to the right" if x > 0 else "to the left") if abs(x) >= abs(y) else ("down" if y > 0 else "up")
    return f"move {the(facts.source)} a little {way}"


def _resize(facts: Any, choose: Any) -> str:
    ratio = float(facts.after.get("scale", 1)) / float((facts.before or {}).get("scale", 1))
    word = ("larger", "bigger") if ratio > 1 else ("smaller",)
    much = "much " if ratio > 1.6 or ratio < 0.6 else ""
    return f"make {the(facts.source)} {much}{choose(facts.key, word)}"


def _turn(facts: Any, choose: Any) -> str:
    before = facts.before or {}
    if bool(facts.after.get("flip")) != bool(before.get("flip")):
        return choose(
            facts.key, ("mirror {0}", "flip {0} horizontally", "make {0} face the other way")
        ).format(the(facts.source))
    degrees = float(facts.after.get("rotation", 0)) - float(before.get("rotation", 0))
    return f"rotate {the(facts.source)} by {abs(degrees):g} degrees {'clockwise' if degrees > 0 else 'counterclockwise'}"


def _count(facts: Any, choose: Any) -> str:
    if facts.before is None:
        where = PLACES.get(facts.place or "", "")
        name = facts.target.en.removesuffix(where).strip()
        return choose(facts.key, ("add one more {0} {1}", "add another {0} {1}")).format(name, where).strip()
    where = PLACES.get(facts.place or "", "")
    name = facts.source.en.removesuffix(where).strip()
    return choose(facts.key, ("remove the {0} {1}", "take away the {0} {1}")).format(name, where).strip()


def _background(facts: Any, choose: Any) -> str:
    return choose(
        facts.key,
        ("replace the background with {0}", "change the background to {0}", "put {0} behind the subject"),
    ).format(a(facts.target))


def _weather(facts: Any, choose: Any) -> str:
    return choose(facts.key, ("add {0} to the scene", "make it a day with {0}", "let there be {0}")).format(
        WEATHER[facts.after["kind"]]
    )


def _to_photo(facts: Any, choose: Any) -> str:
    if facts.before["name"] == "vignette":
        return choose(facts.key, ("remove the vignette", "brighten the darkened corners"))
    style = STYLES[facts.before["name"]].removeprefix("a ").removeprefix("an ")
    return choose(
        facts.key,
        ("turn this {0} back into a natural photograph", "restore the look of a natural photograph"),
    ).format(style)


def _light(facts: Any, choose: Any) -> str:
    if facts.after is None:
        return choose(facts.key, ("restore the natural light", "change the light back to neutral daylight"))
    return choose(facts.key, ("relight the scene with {0}", "change the light to {0}")).format(
        LIGHTS[facts.after["name"]]
    )


def _more_or_less(up: tuple[str, ...], down: tuple[str, ...]) -> Any:
    def say(facts: Any, choose: Any) -> str:
        return (
            choose(facts.key, up if facts.rises else down)
            .format(_DEGREES[facts.degree], _STRONGLY[facts.degree])
            .strip()
        )

    return say


def _crop(facts: Any, choose: Any) -> str:
    where = {"center": "center"}.get(facts.place or "center", f"{facts.place} part")
    return choose(facts.key, ("crop the picture to its {0}", "zoom in on the {0} of the picture")).format(
        where
    )


def _outpaint(facts: Any, choose: Any) -> str:
    return choose(
        facts.key,
        ("extend the picture {0}", "outpaint the scene {0}", "zoom out and show more of the scene {0}"),
    ).format(_beyond(facts.before))


def _beyond(crop: Any) -> str:
    """Where a cropped picture goes on: `on all sides`, `to the left`, `to the right and downward`..."""
    x, y = float(crop.get("x", 0.5)), float(crop.get("y", 0.5))
    ways = [] if 0.25 < x < 0.75 else ["to the right" if x <= 0.25 else "to the left"]
    ways += [] if 0.25 < y < 0.75 else ["downward" if y <= 0.25 else "upward"]
    if len(ways) == 1:
        # The sides across from it are cut on both hands.
        ways.append("above and below" if "to" in ways[0] else "on both sides")
    return " and ".join(ways) or "on all sides"


def _rotate(facts: Any, choose: Any) -> str:
    value, sign = (facts.after, 1) if facts.after else (facts.before, -1)
    degrees = sign * float(value["degrees"])
    degrees = degrees - 360 if degrees > 180 else degrees + 360 if degrees < -180 else degrees
    if abs(degrees) == 180:
        return choose(facts.key, ("turn the picture upside down", "rotate the picture by 180 degrees"))
    way = "clockwise" if degrees > 0 else "counterclockwise"
    return choose(
        facts.key, ("rotate the picture {0:g} degrees {1}", "turn the picture by {0:g} degrees {1}")
    ).format(abs(degrees), way)


def _flip(facts: Any, choose: Any) -> str:
    axis = (facts.after or facts.before)["axis"]
    word = {"horizontal": "horizontally", "vertical": "vertically"}[axis]
    return choose(facts.key, ("mirror the picture {0}", "flip the image {0}")).format(word)


def _straighten(facts: Any, choose: Any) -> str:
    if facts.after is None:
        return choose(facts.key, ("straighten the tilted picture", "level the tilted picture"))
    way = "counterclockwise" if float(facts.after["degrees"]) > 0 else "clockwise"
    return choose(facts.key, ("tilt the picture {0:g} degrees {1}", "tilt the picture slightly {1}")).format(
        abs(float(facts.after["degrees"])), way
    )


def foreign(facts: Any) -> str:
    """What was done elsewhere has its own words, towards it; KeyError for the way back and between two of them."""
    if facts.before is not None:
        raise KeyError("the way back from a version made elsewhere")
    text = facts.after["instruction"]["en"].strip()
    return text[0].lower() + text[1:].rstrip(". ")


_OWN = {
    "object.add": _add,
    "object.move": _move,
    "object.resize": _resize,
    "object.turn": _turn,
    "object.count": _count,
    "scene.background": _background,
    "scene.weather": _weather,
    "scene.light": _light,
    "style.to_photo": _to_photo,
    "pixel.brightness": _more_or_less(
        ("make the picture {0}brighter", "brighten the photo {1}"),
        ("make the picture {0}darker", "darken the photo {1}"),
    ),
    "pixel.contrast": _more_or_less(
        ("raise the contrast {1}", "give the picture {0}more contrast"),
        ("lower the contrast {1}", "give the picture {0}less contrast"),
    ),
    "pixel.saturation": _more_or_less(
        ("make the colors {0}more vivid", "raise the saturation {1}"),
        ("make the colors {0}more muted", "lower the saturation {1}"),
    ),
    "pixel.temperature": _more_or_less(
        ("make the colors {0}warmer", "shift the white balance {1} toward orange"),
        ("make the colors {0}cooler", "shift the white balance {1} toward blue"),
    ),
    "pixel.sharpness": _more_or_less(
        ("make the picture {0}crisper", "raise the sharpness {1}"),
        ("make the picture {0}softer", "soften the picture {1}"),
    ),
    "pixel.gamma": _more_or_less(("lift the midtones {1}",), ("deepen the midtones {1}",)),
    "geometry.crop": _crop,
    "geometry.outpaint": _outpaint,
    "geometry.rotate": _rotate,
    "geometry.flip": _flip,
    "geometry.straighten": _straighten,
}
