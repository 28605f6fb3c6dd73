"""The tasks of image editing, two levels deep, with stable ids (`group.task`); which of them a spec performs.

Types are derived from a spec, never declared beside it, so that the type of an inverse or of a composition is right
by construction. Ids are never renamed or reused. `imgedit` is the task of ImgEdit's benchmark a type belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .spec import Change, EditSpec, State, Value, canonical

PIXEL, NONE = "pixel", "none"


@dataclass(frozen=True)
class Task:
    """One kind of edit.

    Attributes:
        id: `group.task`.
        imgedit: add, remove, replace, adjust, background, extract, style, action, compose; None where it has none.
        inverse: id of the task that leads back; None where no instruction could ask for the way back.
        alignment: `pixel`: outside of the mask nothing moves or changes. `none`: the picture as a whole changes place.
        needs_weights: no exact expert of ours does it; plug-ins and videos may.
        area: least and largest share of pixels that may change.
    """

    id: str
    imgedit: str | None
    inverse: str | None
    alignment: str = PIXEL
    needs_weights: bool = False
    area: tuple[float, float] = (0.0005, 1.0)

    @property
    def invents(self) -> bool:
        """The target shows what the source does not hold (color, detail, what was hidden): one right answer of many."""
        return self.id in _INVENTING

    @property
    def group(self) -> str:
        return self.id.partition(".")[0]

    @property
    def invertible(self) -> bool:
        return self.inverse is not None


_SOME, _MOST, _WHOLE = (0.0005, 0.6), (0.05, 0.98), (0.2, 1.0)


def _tasks() -> list[Task]:
    def own(id_: str, imgedit: str | None = "adjust", area: tuple[float, float] = _SOME) -> Task:
        return Task(id_, imgedit, id_, area=area)

    def pair(there: str, back: str, imgedit: str | None = "adjust", area: tuple[float, float] = _WHOLE):
        return [Task(there, imgedit, back, area=area), Task(back, imgedit, there, area=area)]

    def learned(id_: str, imgedit: str | None, inverse: str | None = None) -> Task:
        return Task(id_, imgedit, inverse or id_, alignment=NONE, needs_weights=True)

    return [
        Task("object.add", "add", "object.remove", area=_SOME),
        Task("object.remove", "remove", "object.add", area=_SOME),
        *(own("object.replace", "replace"), own("object.move"), own("object.resize"), own("object.turn")),
        own("object.count"),
        Task("object.extract", "extract", None, area=_MOST),
        *(own("attr.color"), learned("attr.material", "adjust"), learned("attr.shape", "adjust")),
        *(learned("attr.state", "adjust"), learned("human.expression", "action")),
        *(learned("human.pose", "action"), learned("human.action", "action")),
        *(learned("human.clothing", "replace"), learned("human.hair", "adjust")),
        Task("text.add", "add", "text.remove", area=_SOME),
        Task("text.remove", "remove", "text.add", area=_SOME),
        *(own(f"text.{name}", "replace") for name in ("replace", "swap", "translate")),
        *(own(f"text.{name}") for name in ("font", "color", "size", "move", "effect")),
        Task("text.box", None, None, area=_SOME),
        own("scene.background", "background", _MOST),
        *pair("scene.weather", "scene.clear", area=_WHOLE),
        own("scene.light", area=_WHOLE),
        *(learned("scene.season", "background"), learned("scene.time", "background")),
        *(
            Task(f"style.{name}", "style", "style.to_photo", area=_WHOLE)
            for name in (
                "film",
                "sketch",
                "posterize",
                "cartoon",
                "pixelate",
                "emboss",
                "duotone",
                "vignette",
            )
        ),
        Task("style.to_photo", "style", None, area=_WHOLE),
        own("style.change", "style", _WHOLE),
        Task("style.art", "style", "style.to_photo", NONE, True, _WHOLE),
        *pair("pixel.grey", "pixel.colorize"),
        *pair("pixel.blur", "pixel.deblur", area=(0.02, 1.0)),
        *pair("pixel.noise", "pixel.denoise"),
        *pair("pixel.compress", "pixel.restore"),
        *pair("pixel.downscale", "pixel.upscale", area=(0.02, 1.0)),
        *(
            own(f"pixel.{name}", area=_WHOLE)
            for name in ("brightness", "contrast", "saturation", "temperature")
        ),
        *(own(f"pixel.{name}", area=(0.02, 1.0)) for name in ("sharpness", "gamma")),
        *(
            Task(there, imgedit, back, NONE, area=_WHOLE)
            for there, back, imgedit in (
                ("geometry.crop", "geometry.outpaint", None),
                ("geometry.outpaint", "geometry.crop", None),
                ("geometry.rotate", "geometry.rotate", "adjust"),
                ("geometry.flip", "geometry.flip", "adjust"),
                ("geometry.straighten", "geometry.straighten", "adjust"),
            )
        ),
        learned("viewpoint.camera", None),
        *(learned(f"reference.{name}", "compose") for name in ("subject", "tryon")),
        *(Task(f"reference.{name}", "compose", None, NONE) for name in ("compose", "panel")),
        Task("reference.sketch", "style", "style.sketch", area=_WHOLE),
        *(learned(f"video.{name}", "action") for name in ("action", "viewpoint", "scene", "appearance")),
        Task("foreign.edit", None, "foreign.edit", NONE, True),
    ]


_INVENTING = frozenset(
    "object.add object.replace object.count scene.background pixel.colorize pixel.deblur pixel.denoise pixel.restore "
    "pixel.upscale style.to_photo style.change reference.sketch geometry.outpaint text.add text.replace".split()
)

TASKS: Mapping[str, Task] = {task.id: task for task in _tasks()}

_OBJECT = (
    ("object.move", ("x", "y")),
    ("object.resize", ("scale",)),
    ("object.turn", ("flip", "rotation")),
    ("attr.color", ("hue", "color")),
    ("attr.material", ("material",)),
)
_TEXT = (
    ("text.replace", ("text",)),
    ("text.font", ("font", "weight", "italic")),
    ("text.color", ("color",)),
    ("text.size", ("size_px",)),
    ("text.move", ("position", "anchor", "align", "rotation", "vertical", "width", "surface")),
    ("text.effect", ("stroke", "shadow", "light")),
)
_PIXEL = {
    "grey": ("pixel.grey", "pixel.colorize"),
    "blur": ("pixel.blur", "pixel.deblur"),
    "noise": ("pixel.noise", "pixel.denoise"),
    "jpeg": ("pixel.compress", "pixel.restore"),
    "downscale": ("pixel.downscale", "pixel.upscale"),
}


def types_of(spec: EditSpec, source: State) -> tuple[str, ...]:
    """The types a spec performs on a picture in state `source`, in the order of its changes, each once.

    Raises:
        KeyError: a slot that the taxonomy does not know.
    """
    swapped = _swapped_texts(spec)
    found: list[str] = []
    for change in spec.changes:
        if change.slot in swapped:
            found.append("text.swap")
        elif change.slot.startswith("object/") and _is_copy(change, spec, source):
            found.append("object.count")
        else:
            found += classify(change)
    return tuple(dict.fromkeys(found))


def classify(change: Change) -> tuple[str, ...]:
    """The types of one change on its own.

    Raises:
        KeyError: a slot that the taxonomy does not know.
    """
    kind, _, name = change.slot.partition("/")
    try:
        types = _KINDS[kind](name, change.before, change.after)
    except KeyError as e:
        raise KeyError(f"the taxonomy has no slot {change.slot!r}; kinds are {', '.join(_KINDS)}") from e
    for type_ in types:
        if type_ not in TASKS:
            raise KeyError(f"slot {change.slot!r} performs {type_!r}, which is no task")
    return types


def _object(name: str, before: Value, after: Value) -> tuple[str, ...]:
    if before is None:
        return ("object.add",)
    if after is None:
        return ("object.remove",)
    if before.get("sprite") != after.get("sprite"):
        # Another thing has its own color and size; only its place can still be compared.
        moved = any(canonical(before.get(k)) != canonical(after.get(k)) for k in ("x", "y"))
        return ("object.replace", "object.move") if moved else ("object.replace",)
    return _posed(before, after)


def _part(name: str, before: Value, after: Value) -> tuple[str, ...]:
    """Something that stands in the photograph itself: neutral is present and as it was."""
    before, after = before or {}, after or {}
    if after.get("removed"):
        return ("object.remove",)
    if before.get("removed"):
        return ("object.add",)
    return _posed(before, after)


def _posed(before: Value, after: Value) -> tuple[str, ...]:
    """Types of a thing in two poses. What grows where it stands has moved its center, but nobody would say so."""
    types = _differing(_OBJECT, before, after)
    if "object.resize" in types and "object.move" in types and {"x", "y"} <= set(before) & set(after):
        growth = abs(float(after.get("scale", 1)) - float(before.get("scale", 1))) / 2 + 1e-3
        still = abs(float(after["x"]) - float(before["x"])) < 0.01
        if still and abs(float(after["y"]) - float(before["y"])) <= growth:
            return tuple(t for t in types if t != "object.move")
    return types


def _text(name: str, before: Value, after: Value) -> tuple[str, ...]:
    if before is None:
        return ("text.add",)
    if after is None:
        return ("text.remove",)
    types = _differing(_TEXT, before, after)
    if "text.replace" in types and before.get("lang") != after.get("lang"):
        return ("text.translate", *(t for t in types if t != "text.replace"))
    return types


def _style(name: str, before: Value, after: Value) -> tuple[str, ...]:
    if after is None:
        # A line drawing that becomes a photograph asks for colors and matter, not for less of a style.
        return ("reference.sketch",) if before["name"] == "sketch" else ("style.to_photo",)
    return ("style.change",) if before is not None else (f"style.{after['name']}",)


def _geometry(name: str, before: Value, after: Value) -> tuple[str, ...]:
    def one(value: Value, forward: bool) -> str:
        op = value["op"]
        return f"geometry.{op}" if forward or op != "crop" else "geometry.outpaint"

    if before is None:
        return (one(after, True),)
    if after is None:
        return (one(before, False),)
    return tuple(dict.fromkeys((one(before, False), one(after, True))))


def _photometric(name: str, before: Value, after: Value) -> tuple[str, ...]:
    return (f"pixel.{name}",) if name not in _PIXEL else _pixel(name, before, after)


def _pixel(name: str, before: Value, after: Value) -> tuple[str, ...]:
    if name not in _PIXEL:
        return (f"pixel.{name}",)
    more, less = _PIXEL[name]
    return (more if _strength(after) > _strength(before) else less,)


def _strength(value: Value) -> float:
    if isinstance(value, Mapping):
        value = value.get("strength", 1.0)
    return 0.0 if value is None else float(value)


def _weather(name: str, before: Value, after: Value) -> tuple[str, ...]:
    return ("scene.clear",) if after is None else ("scene.weather",)


def _image(name: str, before: Value, after: Value) -> tuple[str, ...]:
    """Made elsewhere: what it says it is, and on the way back the inverse of that."""
    forward = () if after is None else (after.get("type", "foreign.edit"),)
    back = () if before is None else (TASKS[before.get("type", "foreign.edit")].inverse or "foreign.edit",)
    return tuple(dict.fromkeys((*back, *forward)))


def _differing(
    table: tuple[tuple[str, tuple[str, ...]], ...], before: Value, after: Value
) -> tuple[str, ...]:
    """Types of the fields in which two values differ; a difference no type speaks of is a KeyError."""
    # What an edit leaves alone is the very same object, as a rule.
    pairs = ((k, before.get(k), after.get(k)) for k in {*before, *after})
    fields = {k for k, a, b in pairs if a is not b and canonical(a) != canonical(b)}
    types = tuple(type_ for type_, names in table if fields & set(names))
    if not types:
        raise KeyError(f"fields {sorted(fields)}")
    return types


def _swapped_texts(spec: EditSpec) -> set[str]:
    """Slots of two texts that trade their words and change nothing else."""
    texts = [c for c in spec.changes if c.slot.startswith("text/") and c.before and c.after]
    found: set[str] = set()
    for i, a in enumerate(texts):
        for b in texts[i + 1 :]:
            trade = (a.before["text"], a.after["text"]) == (b.after["text"], b.before["text"])
            kinds = {classify(a), classify(b)}
            if trade and kinds in ({("text.replace",)}, {("text.translate",)}):
                found |= {a.slot, b.slot}
    return found


def _is_copy(change: Change, spec: EditSpec, source: State) -> bool:
    """One more, or one fewer, of something of which another stays: a change of number."""
    value = change.after if change.before is None else change.before
    if change.before is not None and change.after is not None:
        return False
    after = spec.apply(source)
    objects = {k: v for k, v in source.items() if k.startswith("object/") and k != change.slot}
    same = [k for k, v in objects.items() if v.get("sprite") == value.get("sprite")]
    return any(k in after and after[k].get("sprite") == value.get("sprite") for k in same)


_KINDS: Mapping[str, Callable[[str, Value, Value], tuple[str, ...]]] = {
    "background": lambda name, before, after: ("scene.background",),
    "object": _object,
    "part": _part,
    "extract": lambda name, before, after: ("object.extract",) if after else ("scene.background",),
    "text": _text,
    "box": lambda name, before, after: ("text.box",),
    "weather": _weather,
    "light": lambda name, before, after: ("scene.light",),
    "style": _style,
    "geometry": _geometry,
    "photometric": _photometric,
    "pixel": _pixel,
    "image": _image,
}
