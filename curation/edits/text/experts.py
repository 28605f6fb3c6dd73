"""Experts of rendered text: they set it into pictures and change what is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..color_names import FOCAL
from ..experts import Expert, NoProposalError, Proposal
from ..phrases import Names, place_of
from ..scene import Scene
from ..spec import State, between
from .faults import TextError
from .fonts import Face
from .items import color_name, hex_of
from .kit import LEAST_PX, Box, Kit, meet
from .layers import TextLayer
from .referring import names_of
from .sampling import item, may_stand, readable_colors, shadow, stroke

#: What moves or hides the ground a text was measured against.
_GROUND_KINDS = frozenset(("part", "extract", "background", "geometry", "image"))
#: Attempts at another phrase, place or size before an expert gives up.
_TRIES = 24

Values = Mapping[str, Any]
#: (kit, scene, state, generator) -> slots with their next values; None removes.
Draw = Callable[[Kit, Scene, State, np.random.Generator], Values]


@dataclass(frozen=True)
class TextExpert:
    """One way to change texts."""

    name: str
    types: tuple[str, ...]
    kit: Kit
    layer: TextLayer
    draw: Draw
    version: int = 1
    needs_weights: bool = False

    def propose(self, scene: Scene, state: State, rng: np.random.Generator) -> Proposal:
        """Raises NoProposalError: nothing to change, nothing that fits, or a state whose ground is not the photo's."""
        if any(slot.partition("/")[0] in _GROUND_KINDS for slot in state):
            raise NoProposalError("no text on moved ground")
        try:
            values = self.draw(self.kit, scene, state, rng)
        except TextError as e:
            raise NoProposalError(f"text: {type(e).__name__}") from e
        target = {k: v for k, v in {**state, **values}.items() if v is not None}
        spec = between(state, target, tuple(values))
        return Proposal(spec, Names(names_of(scene, state, self.layer), names_of(scene, target, self.layer)))


def text_experts(kit: Kit, layer: TextLayer) -> list[Expert]:
    """Experts that set texts (`add_text`, `add_texts`), and such as change what those have set."""
    makers: dict[str, tuple[tuple[str, ...], Draw]] = {
        "add_text": (("text.add",), _add),
        "add_texts": (("text.add",), _add_several),
        "remove_text": (("text.remove",), _remove),
        "replace_text": (("text.replace",), _one(_replaced)),
        "translate_text": (("text.translate",), _one(_translated)),
        "font_text": (("text.font",), _one(_other_font)),
        "color_text": (("text.color",), _one(_other_color)),
        "size_text": (("text.size",), _one(_other_size)),
        "move_text": (("text.move",), _one(_moved)),
        "effect_text": (("text.effect",), _one(_other_effect)),
        "swap_texts": (("text.swap",), _swap),
        "change_texts": (("text.replace",), _several),
    }
    return [TextExpert(name, types, kit, layer, draw) for name, (types, draw) in makers.items()]


#: Experts that need texts that are already there.
NEED_TEXTS = frozenset(
    f"{verb}_text" for verb in ("remove", "replace", "translate", "font", "color", "size", "move", "effect")
) | {"swap_texts", "change_texts"}
#: The expert that sets some.
OPENER = "add_texts"


def clear(scene: Scene, state: State, layer: TextLayer) -> bool:
    """Whether every text of a state lies free: of the other texts, and of things set into the picture."""
    boxes = [layer.patch(v, scene).box for k, v in state.items() if k.startswith("text/")]
    if not boxes:
        return True
    if any(slot.partition("/")[0] in _GROUND_KINDS for slot in state):
        return False
    things = list(_things(scene, state))
    return not any(meet(a, b) for i, a in enumerate(boxes) for b in (*boxes[i + 1 :], *things))


def _add(kit: Kit, scene: Scene, state: State, rng: np.random.Generator) -> Values:
    taken = [*_boxes(kit, scene, state), *_things(scene, state)]
    said = {v["text"] for v in _texts(state).values()}
    for _ in range(_TRIES):
        value = item(_lying(rng), kit, scene.base, rng, taken)
        if value["text"] not in said:
            return {f"text/{rng.integers(10**6):06d}": value}
    raise NoProposalError("no other text")


def _add_several(kit: Kit, scene: Scene, state: State, rng: np.random.Generator) -> Values:
    values: dict[str, Any] = {}
    for _ in range(int(rng.integers(2, 4))):
        try:
            values |= _add(kit, scene, {**state, **values}, rng)
        except TextError:
            if not values:
                raise
    return values


def _lying(rng: np.random.Generator) -> dict[str, Any]:
    """Most texts lie flat on the picture; others on a surface in it, lit as it is."""
    kind = rng.random()
    if kind < 0.12:
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) + rng.uniform(-0.13, 0.13, (4, 2))
        surface: Any = {"kind": "quad", "corners": np.round(corners, 3).tolist()}
    elif kind < 0.2:
        surface = {"kind": "cylinder", "bend": round(float(rng.uniform(0.3, 0.9)), 2)}
    else:
        return {"light": 0.5} if kind < 0.4 else {}
    return {"surface": surface, "rotation": 0, "light": 0.6}


def _remove(kit: Kit, scene: Scene, state: State, rng: np.random.Generator) -> Values:
    return {_pick(state, rng): None}


def _swap(kit: Kit, scene: Scene, state: State, rng: np.random.Generator) -> Values:
    texts = _texts(state)
    slots = sorted(texts)
    couples = [
        (a, b) for i, a in enumerate(slots) for b in slots[i + 1 :] if texts[a]["lang"] == texts[b]["lang"]
    ]
    for number in rng.permutation(len(couples)):
        a, b = couples[number]
        one = {**texts[a], "text": texts[b]["text"]}
        other = {**texts[b], "text": texts[a]["text"]}
        after = {**state, a: one, b: other}
        if all(_good(kit, scene, after, slot) for slot in (a, b)):
            return {a: one, b: other}
    raise NoProposalError("no two texts that could swap")


def _several(kit: Kit, scene: Scene, state: State, rng: np.random.Generator) -> Values:
    """Two things at once: to two texts, or two to the only one."""
    slots = sorted(_texts(state))
    if not slots:
        raise NoProposalError("no text")
    first, second = (
        (slots * 2)[:2] if len(slots) == 1 else [slots[i] for i in rng.permutation(len(slots))[:2]]
    )
    values = {first: _replaced(kit, scene, state, first, rng)}
    change = (_other_color, _other_size, _replaced)[int(rng.integers(3 if first != second else 2))]
    return values | {second: change(kit, scene, {**state, **values}, second, rng)}


Change = Callable[[Kit, Scene, State, str, np.random.Generator], Values]


def _one(change: Change) -> Draw:
    """An expert's draw from a change of one text."""

    def draw(kit: Kit, scene: Scene, state: State, rng: np.random.Generator) -> Values:
        slots = sorted(_texts(state))
        for number in rng.permutation(len(slots)):
            try:
                return {slots[number]: change(kit, scene, state, slots[number], rng)}
            except NoProposalError:
                continue
        raise NoProposalError("no text" if not slots else "no text that could be changed so")

    return draw


def _replaced(kit: Kit, scene: Scene, state: State, slot: str, rng: np.random.Generator) -> Values:
    value = state[slot]
    said = {line for v in _texts(state).values() for line in (v["text"], *v["text"].split("\n"))}
    lines = value["text"].split("\n")
    one = int(rng.integers(len(lines)))  # of several lines, one is another afterwards

    def others() -> Iterator[Values]:
        for _ in range(_TRIES):
            drawn = kit.phrases.draw(value["lang"], rng)
            if drawn not in said and (not value["vertical"] or may_stand(drawn)):
                yield {**value, "text": "\n".join([*lines[:one], drawn, *lines[one + 1 :]])}

    return _first(kit, scene, state, slot, others())


def _translated(kit: Kit, scene: Scene, state: State, slot: str, rng: np.random.Generator) -> Values:
    value = state[slot]
    other = kit.phrases.translated(value["text"], value["lang"])
    if other is None or value["vertical"]:
        raise NoProposalError("no translation")
    lang = "zh" if value["lang"] == "en" else "en"
    return _first(kit, scene, state, slot, [{**value, "text": other, "lang": lang}])


def _other_font(kit: Kit, scene: Scene, state: State, slot: str, rng: np.random.Generator) -> Values:
    value = state[slot]
    text = value["text"]

    def look(face: Face) -> tuple[str | None, bool, bool]:
        return face.style_on(text), face.bold, face.italic

    own = look(kit.book.face(value["font"]["id"]))
    faces = [f for f in kit.book.faces if f.style and look(f) != own and not f.missing(text)]
    faces = [faces[i] for i in rng.permutation(len(faces))]
    return _first(kit, scene, state, slot, ({**value, "font": f.value(text)} for f in faces))


def _other_color(kit: Kit, scene: Scene, state: State, slot: str, rng: np.random.Generator) -> Values:
    value = state[slot]
    names = [n for n in readable_colors(kit, value, scene.base) if n != color_name(value["color"])]
    order = [names[i] for i in rng.permutation(len(names))]
    return _first(kit, scene, state, slot, ({**value, "color": hex_of(FOCAL[n])} for n in order))


def _other_size(kit: Kit, scene: Scene, state: State, slot: str, rng: np.random.Generator) -> Values:
    value = state[slot]
    factors = (
        float(f) for f in np.where(rng.random(8) < 0.6, rng.uniform(1.3, 2, 8), rng.uniform(0.5, 0.75, 8))
    )
    sizes = [round(value["size_px"] * f, 1) for f in factors]
    return _first(kit, scene, state, slot, ({**value, "size_px": s} for s in sizes if s >= LEAST_PX))


def _moved(kit: Kit, scene: Scene, state: State, slot: str, rng: np.random.Generator) -> Values:
    value = state[slot]
    before = _cell(kit, scene, value)

    def others() -> Iterator[Values]:
        if rng.random() < 0.2 and not value["rotation"] and not value["surface"]:
            yield {**value, "rotation": int(rng.choice([-15, -10, 10, 15]))}
        elif rng.random() < 0.3 and may_stand(value["text"]):
            yield {**value, "vertical": not value["vertical"]}
        for _ in range(_TRIES):
            x, y = (round(float(v), 4) for v in rng.uniform(0.06, 0.94, 2))
            moved = {**value, "position": [x, y]}
            if _cell(kit, scene, moved) != before:
                yield moved

    return _first(kit, scene, state, slot, others())


def _other_effect(kit: Kit, scene: Scene, state: State, slot: str, rng: np.random.Generator) -> Values:
    value = state[slot]
    outlined = {**value, "stroke": None if value["stroke"] else stroke(value["color"], value["size_px"])}
    shaded = {**value, "shadow": None if value["shadow"] else shadow(value["size_px"])}
    return _first(kit, scene, state, slot, (outlined, shaded) if rng.random() < 0.6 else (shaded, outlined))


def _first(kit: Kit, scene: Scene, state: State, slot: str, values: Any) -> Values:
    """The first of some values that can stand in a slot."""
    for value in values:
        if _good(kit, scene, {**state, slot: value}, slot):
            return value
    raise NoProposalError("nothing that fits")


def _good(kit: Kit, scene: Scene, state: State, slot: str) -> bool:
    """Glyphs, room, contrast."""
    value = state[slot]
    if kit.book.face(value["font"]["id"]).missing(value["text"]):
        return False
    others = {k: v for k, v in state.items() if k != slot}
    taken = [*_boxes(kit, scene, others), *_things(scene, others)]
    return kit.fits(value, scene.base, taken) and kit.legible(value, scene.base)


def _pick(state: State, rng: np.random.Generator) -> str:
    slots: Sequence[str] = sorted(_texts(state))
    if not slots:
        raise NoProposalError("no text")
    return slots[int(rng.integers(len(slots)))]


def _texts(state: State) -> dict[str, Any]:
    return {k: v for k, v in state.items() if k.startswith("text/") and v is not None}


def _boxes(kit: Kit, scene: Scene, state: State) -> list[Box]:
    return [kit.box(v, scene.base) for v in _texts(state).values()]


def _things(scene: Scene, state: State) -> Iterator[Box]:
    """Boxes of sprites."""
    for slot, value in state.items():
        kind, _, name = slot.partition("/")
        if kind == "object" and value is not None:
            mask = scene.layer(kind).footprint(name, value, scene)
            if mask is not None and mask.any():
                ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
                yield float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1)


def _cell(kit: Kit, scene: Scene, value: Values) -> str | None:
    x0, y0, x1, y1 = kit.box(value, scene.base)
    return place_of({"x": (x0 + x1) / 2 / scene.base.shape[1], "y": (y0 + y1) / 2 / scene.base.shape[0]})
