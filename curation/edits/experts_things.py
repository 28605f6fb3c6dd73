"""Experts of things: sprites set into a picture, and the one thing a picture shows on plain ground."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .color_names import ZH as FOCAL_ZH
from .color_names import name_of, turn_to
from .cutout import Cutout
from .experts import Expert, NoProposalError, Proposal
from .library import Item, Library
from .phrases import Names, Referent, place_of
from .phrases_en import PLACES as EN_PLACES
from .phrases_zh import PLACES as ZH_PLACES
from .placing import is_drawn, pose_of
from .rendering.sprites import turn_hue
from .scene import Scene
from .spec import State, Value, between

#: A ground rougher than this (levels) shows where a thing was painted away; see `Cutout.scatter`.
MAX_GROUND_SCATTER = 4.0
#: Colors things are turned to: those that a turn of hue can reach.
TURNED = ("red", "orange", "yellow", "green", "blue", "purple", "pink")


@dataclass(frozen=True)
class ObjectExpert:
    """One way to change sprites; `draw` gives the next value of a slot, and what it is called then."""

    name: str
    types: tuple[str, ...]
    library: Library
    draw: Callable[[Library, Scene, State, np.random.Generator], tuple[str, Value]]
    version: int = 1
    needs_weights: bool = False

    def propose(self, scene: Scene, state: State, rng: np.random.Generator) -> Proposal:
        """Raises NoProposalError where there is no sprite to set or to change."""
        if not self.library.items:
            raise NoProposalError("no sprites")
        slot, value = self.draw(self.library, scene, state, rng)
        target = {**state, slot: value}
        if value is None:
            del target[slot]
        return Proposal(between(state, target), names_of(self.library, state, target))


def names_of(library: Library, source: State, target: State) -> Names:
    """Names of all sprites in two states, with the color a turned one has."""
    known = library.referents()

    def of(state: State) -> dict[str, Referent]:
        found = {
            slot: _colored(known[value["sprite"]], value.get("color"))
            for slot, value in state.items()
            if slot.startswith("object/") and value is not None
        }
        alike = Counter(r.en for r in found.values())
        return {slot: _located(r, state[slot]) if alike[r.en] > 1 else r for slot, r in found.items()}

    return Names(of(source), of(target))


def object_experts(library: Library) -> list[Expert]:
    """Experts that add sprites, and change those that are there."""
    makers = {
        "add_object": (("object.add",), _add),
        "count_object": (("object.count",), _count),
        "move_object": (("object.move",), _move),
        "resize_object": (("object.resize",), _resize),
        "replace_object": (("object.replace",), _replace),
        "turn_object": (("object.turn",), _turn),
        "recolor_object": (("attr.color",), _recolor),
        "remove_object": (("object.remove",), _remove),
    }
    return [ObjectExpert(name, types, library, draw) for name, (types, draw) in makers.items()]


@dataclass(frozen=True)
class PartExpert:
    """Changes the one thing of the picture; the scene holds its cut-out and what it is called."""

    name: str
    types: tuple[str, ...]
    draw: Callable[[Cutout, Scene, np.random.Generator], tuple[str, Value]]
    clean_ground: bool
    version: int = 1
    needs_weights: bool = False

    def propose(self, scene: Scene, state: State, rng: np.random.Generator) -> Proposal:
        """Raises NoProposalError: no cut-out, no name, or a ground too rough to be painted."""
        part, referent = scene.assets.get("part"), scene.assets.get("referent:part")
        if part is None:
            raise NoProposalError("no thing on plain ground")
        if referent is None:
            raise NoProposalError("thing without a name")
        if self.clean_ground and part.scatter > MAX_GROUND_SCATTER:
            raise NoProposalError("rough ground")
        slot, value = self.draw(part, scene, rng)
        spec = between(state, {**state, slot: value})
        after = referent
        if slot == "part/0" and "color" in value:
            after = _colored(referent, value["color"])
        elif slot == "background/0":
            return Proposal(
                spec,
                Names(
                    {slot: scene.assets["referent:background"]},
                    {slot: scene.assets[f"referent:background:{value}"]},
                ),
            )
        return Proposal(spec, Names({slot: referent}, {slot: after}))


def part_experts() -> list[Expert]:
    """Experts for pictures of one thing on plain ground."""
    return [
        PartExpert(
            "remove_part", ("object.remove",), lambda part, scene, rng: ("part/0", {"removed": True}), True
        ),
        PartExpert("move_part", ("object.move",), _move_part, True),
        PartExpert("resize_part", ("object.resize",), _resize_part, True),
        PartExpert("turn_part", ("object.turn",), lambda part, scene, rng: ("part/0", {"flip": True}), True),
        PartExpert("recolor_part", ("attr.color",), _recolor_part, False),
        PartExpert("extract_part", ("object.extract",), _extract, False),
        PartExpert("background", ("scene.background",), _background, False),
    ]


def part_assets(
    rgb: np.ndarray, part: Cutout, referent: Referent | None, backgrounds: Mapping[str, Any]
) -> dict[str, Any]:
    """What a scene of one thing holds. The referent gets the thing's measured color.

    Args:
        referent: what the thing is called; None leaves part experts silent.
        backgrounds: name -> (photograph, Referent), as `library.plain_backgrounds`.
    """
    assets: dict[str, Any] = {"part": part}
    for name, (photo, named) in backgrounds.items():
        assets[f"background:{name}"], assets[f"referent:background:{name}"] = photo, named
    color = name_of(part.ground)
    # A ground without a color of its own has no name: the way back to it is not asked for.
    plain = part.scatter <= MAX_GROUND_SCATTER
    assets["referent:background"] = color and Referent(
        f"{'plain ' if plain else ''}{color} background",
        f"{'纯' if plain else ''}{FOCAL_ZH[color]}背景",
        color=color,
    )
    if referent is not None:
        assets["referent:part"] = _colored(referent, name_of(rgb, part.alpha))
    return assets


def _add(library: Library, scene: Scene, state: State, rng: np.random.Generator) -> tuple[str, Value]:
    if is_drawn(scene.base):
        raise NoProposalError("no photograph")
    item = _pick(library, rng, set(_labels(library, state)))
    return _free(state), {"sprite": item.id, **pose_of(item, scene, state, rng)}


def _count(library: Library, scene: Scene, state: State, rng: np.random.Generator) -> tuple[str, Value]:
    _, value = _some(state, rng)
    item = next(i for i in library.items if i.id == value["sprite"])
    pose = pose_of(item, scene, state, rng)
    return _free(state), {
        **value,
        **pose,
        "scale": round(float(value["scale"]) * float(rng.uniform(0.85, 1.1)), 3),
    }


def _move(library: Library, scene: Scene, state: State, rng: np.random.Generator) -> tuple[str, Value]:
    slot, value = _some(state, rng)
    item = next(i for i in library.items if i.id == value["sprite"])
    others = {k: v for k, v in state.items() if k != slot}
    for _ in range(12):
        pose = pose_of(item, scene, others, rng, float(value["scale"]))
        if abs(pose["x"] - float(value["x"])) > 0.25:
            return slot, {**value, "x": pose["x"], "y": pose["y"]}
    raise NoProposalError("no other place")


def _resize(library: Library, scene: Scene, state: State, rng: np.random.Generator) -> tuple[str, Value]:
    slot, value = _some(state, rng)
    scale = float(value["scale"])
    factor = float(rng.uniform(1.35, 1.8)) if scale < 0.28 else float(rng.uniform(0.5, 0.7))
    # It goes on standing where it stood.
    return slot, {
        **value,
        "scale": round(scale * factor, 3),
        "y": round(float(value["y"]) + scale * (1 - factor) / 2, 4),
    }


def _replace(library: Library, scene: Scene, state: State, rng: np.random.Generator) -> tuple[str, Value]:
    slot, value = _some(state, rng)
    item = _pick(library, rng, set(_labels(library, state)))
    return slot, {"sprite": item.id, "x": value["x"], "y": value["y"], "scale": value["scale"]}


def _turn(library: Library, scene: Scene, state: State, rng: np.random.Generator) -> tuple[str, Value]:
    slot, value = _some(state, rng)
    alpha = next(i for i in library.items if i.id == value["sprite"]).sprite.rgba
    if float(np.abs(alpha.astype(np.int16) - alpha[:, ::-1]).mean()) < 8:
        raise NoProposalError("looks the same mirrored")
    flipped = {**value, "flip": True}
    if value.get("flip"):
        del flipped["flip"]
    return slot, flipped


def _recolor(library: Library, scene: Scene, state: State, rng: np.random.Generator) -> tuple[str, Value]:
    slot, value = _some(state, rng)
    rgba = next(i for i in library.items if i.id == value["sprite"]).sprite.rgba
    return slot, {**value, **_other_color(rgba[..., :3], rgba[..., 3], rng)}


def _remove(library: Library, scene: Scene, state: State, rng: np.random.Generator) -> tuple[str, Value]:
    slot, _ = _some(state, rng)
    return slot, None


def _move_part(part: Cutout, scene: Scene, rng: np.random.Generator) -> tuple[str, Value]:
    rows, columns = scene.base.shape[:2]
    x0, y0, x1, y1 = part.box
    room = columns - (x1 - x0)
    if room < 0.25 * columns:
        raise NoProposalError("no room to move")
    left = float(rng.uniform(0, room))
    x = (left + (x1 - x0) / 2) / columns
    if abs(x - (x0 + x1) / 2 / columns) < 0.12:
        raise NoProposalError("no other place")
    return "part/0", {"x": round(x, 4), "y": round((y0 + y1) / 2 / rows, 4)}


def _resize_part(part: Cutout, scene: Scene, rng: np.random.Generator) -> tuple[str, Value]:
    x0, y0, x1, y1 = part.box
    rows, columns = scene.base.shape[:2]
    larger = min(rows / (y1 - y0), columns / (x1 - x0)) * 0.95
    grows = larger > 1.4 and rng.random() < 0.5
    return "part/0", {"scale": round(float(rng.uniform(1.3, larger) if grows else rng.uniform(0.5, 0.72)), 3)}


def _recolor_part(part: Cutout, scene: Scene, rng: np.random.Generator) -> tuple[str, Value]:
    return "part/0", _other_color(scene.base, part.alpha, rng)


def _extract(part: Cutout, scene: Scene, rng: np.random.Generator) -> tuple[str, Value]:
    own = name_of(part.ground)
    grounds = [g for g in ("white", "gray", "black", "green") if g != own]
    return "extract/0", {"ground": str(rng.choice(grounds))}


def _background(part: Cutout, scene: Scene, rng: np.random.Generator) -> tuple[str, Value]:
    own = {name_of(part.ground), name_of(scene.base, part.alpha)}
    names = sorted(k.removeprefix("background:") for k in scene.assets if k.startswith("background:"))
    names = [n for n in names if n.removeprefix("plain:") not in own]
    if not names:
        raise NoProposalError("no other background")
    return "background/0", str(rng.choice(names))


def _other_color(rgb: np.ndarray, alpha: np.ndarray, rng: np.random.Generator) -> dict[str, Value]:
    """A turn of hue after which the thing bears another name; measured, not hoped for."""
    own = name_of(rgb, alpha)
    for name in rng.permutation([n for n in TURNED if n != own]):
        try:
            degrees = round(turn_to(rgb, alpha, str(name)))
        except ValueError as e:
            raise NoProposalError("hardly any color") from e
        if name_of(turn_hue(rgb, degrees), alpha) == name:
            return {"hue": degrees, "color": str(name)}
    raise NoProposalError("no color to turn to")


def _pick(library: Library, rng: np.random.Generator, but: set[str]) -> Item:
    labels = sorted({item.label for item in library.items} - but)
    if not labels:
        raise NoProposalError("no other kind of thing")
    label = str(rng.choice(labels))
    items = [item for item in library.items if item.label == label]
    return items[int(rng.integers(len(items)))]


def _labels(library: Library, state: State) -> list[str]:
    kinds = {item.id: item.label for item in library.items}
    return [kinds[v["sprite"]] for k, v in state.items() if k.startswith("object/") and v is not None]


def _some(state: State, rng: np.random.Generator) -> tuple[str, Value]:
    slots = sorted(k for k, v in state.items() if k.startswith("object/") and v is not None)
    if not slots:
        raise NoProposalError("no object to change")
    slot = slots[int(rng.integers(len(slots)))]
    return slot, state[slot]


def _free(state: State) -> str:
    return f"object/{next(i for i in range(1000) if f'object/{i}' not in state)}"


def _located(referent: Referent, value: Mapping[str, Any]) -> Referent:
    """A name that holds for one of several alike: with its place."""
    place = place_of(value) or "center"
    return replace(referent, en=f"{referent.en} {EN_PLACES[place]}", zh=f"{ZH_PLACES[place]}的{referent.zh}")


def _colored(referent: Referent, color: str | None) -> Referent:
    return referent if color is None else referent.colored(color)
