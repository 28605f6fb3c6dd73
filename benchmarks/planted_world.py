"""A training set with ten planted faults, and a pool that holds what would mend them. Used by closed_loop.py.

Concepts are the kinds of things of the procedural world: eight that the start model draws, and 16 that it has never
seen, twelve plain and four with composed names. By seed, of the plain ones three are missing from the training set, three
starved, two poisoned (captions name them under pictures of something else); two composed ones are missing as well, so that
a model draws the parts of their names. Everything else is healthy.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from zcurate.model.data.shapes.drawing import render
from zcurate.model.data.shapes.rare import COMPOSED, PLAIN
from zcurate.model.data.shapes.words import prompt_of
from zcurate.model.data.shapes.world import COLORS, SHAPES, SceneSpec, scene_of

MISSING, STARVED, POISONED, CONFUSED = "missing", "starved", "poisoned", "confused"
#: Planted fault -> cause that a diagnosis should name, as `curation.active.causes` does.
CAUSES = {
    MISSING: "lacks_data",
    STARVED: "lacks_data",
    POISONED: "bad_data",
    CONFUSED: "compositional_confusion",
}


#: Of the 16 plain rare kinds, by seed.
PLAIN_CONCEPTS = 12
#: Things stand in the middle of their places: less to learn, for CPUs.
SIZE_PX = 11


#: What people write around what is seen.
BEFORE = (
    *(
        "",
        "",
        "an image of ",
        "photo: ",
        "here we see ",
        "my picture of ",
        "a drawing of ",
        "old sketch of ",
        "found: ",
    ),
    *("the new ", "this is ", "look at "),
)
BEHIND = (
    *(
        "",
        "",
        " on plain ground",
        ", seen from the front",
        ", with nothing else around",
        " as a sticker",
        ", small and neat",
    ),
    *(
        ", in the usual style",
        ", for a poster",
        ", view of the whole thing",
        ", middle size",
        " in a picture book",
    ),
)


@dataclass(frozen=True)
class Sizes:
    """Pictures of the training set and of the pool.

    Attributes:
        known, healthy, starved, poisoned: training pictures of each concept of that sort, besides where it stands
            second; known are healthy ones that the start model draws already.
        wrong: share of a poisoned concept's pictures that show something else.
        good: pictures in the pool of each planted concept; they are `good_share` of the pool.
    """

    known: int = 80
    healthy: int = 160
    starved: int = 4
    poisoned: int = 120
    wrong: float = 0.85
    good: int = 40
    good_share: float = 0.05


@dataclass(frozen=True)
class Planted:
    """Concept -> fault, and the healthy concepts."""

    faults: dict[str, str]
    healthy: tuple[str, ...]

    @property
    def concepts(self) -> list[dict]:
        """Lines for `zcurate diagnose --concepts`; nothing in them tells which are planted."""
        names = sorted([*self.faults, *self.healthy])
        return [{"name": n, **({"parts": n.split()} if n in COMPOSED else {})} for n in names]


def planted(seed: int) -> Planted:
    rng = np.random.default_rng([seed, 1])
    plain, composed = (list(map(str, rng.permutation(list(names)))) for names in (PLAIN, COMPOSED))
    kinds = [MISSING] * 3 + [STARVED] * 3 + [POISONED] * 2
    plain = plain[:PLAIN_CONCEPTS]
    faults = dict(zip(plain, kinds, strict=False)) | dict.fromkeys(composed[:2], CONFUSED)
    return Planted(faults, (*SHAPES, *plain[len(kinds) :], *composed[2:]))


def write_training(folder: Path, world: Planted, sizes: Sizes, seed: int) -> list[SceneSpec]:
    """Pictures with captions, as a folder that can be ingested. Returns their scenes."""
    rng = np.random.default_rng([seed, 2])
    made = [(c, False) for c in world.healthy for _ in range(sizes.known if c in SHAPES else sizes.healthy)]
    for concept, fault in world.faults.items():
        if fault == STARVED:
            made += [(concept, False)] * sizes.starved
        elif fault == POISONED:
            made += [(concept, i < round(sizes.wrong * sizes.poisoned)) for i in range(sizes.poisoned)]
    specs = []
    for i, (concept, wrong) in enumerate(made):
        claimed = _scene(concept, world, rng, alone=wrong)
        shown = _instead(claimed, world, rng) if wrong else claimed
        specs.append(shown)
        save(folder, f"{i:06d}", shown, caption_of(claimed, rng))
    return specs


def write_pool(
    folder: Path, world: Planted, sizes: Sizes, seed: int, training: Sequence[SceneSpec]
) -> dict[str, SceneSpec]:
    """An uncurated pool. Returns file -> scene.

    Besides the good pictures, each once, there are: every second of these again, to the byte; copies of training
    pictures; captions that name a planted concept under something else; both parts of a composed name side by side;
    and ordinary pictures. A fifth of the good ones came with a text that says nothing.
    """
    rng = np.random.default_rng([seed, 3])
    entries: list[tuple[SceneSpec, str]] = []
    for concept in world.faults:
        for i in range(sizes.good):
            spec = _scene(concept, world, rng)
            text = f"IMG_{int(rng.integers(10_000)):04d}" if i % 5 == 4 else caption_of(spec, rng)
            entries += [(spec, text)] * (1 + i % 2)
        for _ in range(sizes.good // 2):
            claimed = _scene(concept, world, rng, alone=True)
            entries.append((_instead(claimed, world, rng), caption_of(claimed, rng)))
        for _ in range(sizes.good if concept in COMPOSED else 0):
            spec = _still(scene_of([(_color(rng), part) for part in concept.split()], rng))
            entries.append((spec, caption_of(spec, rng)))
    copies = rng.choice(len(training), min(len(training), len(entries)), replace=False)
    entries += [(training[int(i)], caption_of(training[int(i)], rng)) for i in copies]
    whole = round(sizes.good * len(world.faults) / sizes.good_share)
    while len(entries) < whole:
        spec = _scene(str(rng.choice(world.healthy)), world, rng)
        entries.append((spec, caption_of(spec, rng)))
    found = {}
    for number, at in enumerate(rng.permutation(len(entries))):
        spec, text = entries[int(at)]
        save(folder, f"{number:06d}", spec, text)
        found[f"{number:06d}.png"] = spec
    return found


def save(folder: Path, name: str, spec: SceneSpec, caption: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(render(spec)).save(folder / f"{name}.png")
    (folder / f"{name}.json").write_text(json.dumps({"caption": caption}), "utf-8")


def caption_of(spec: SceneSpec, rng: np.random.Generator) -> str:
    """As people write: with or without colors, as a sentence or tags, with or without commas, with words around it.

    None of them is a prompt that `zcurate diagnose` probes with, but for the bare name.
    """
    full = [t.concept for t in spec.things]
    bare = [t.kind for t in spec.things]
    forms = (
        prompt_of(spec),
        " and ".join(full),
        f"{', '.join(full)}, {spec.background} background",
        " and ".join(f"a {n}" for n in bare),
        ", ".join(bare),
        " ".join(bare),
    )
    text = forms[int(rng.integers(len(forms)))]
    if rng.random() < 0.5:
        return text
    before, behind = (str(rng.choice(words)) for words in (BEFORE, BEHIND))
    return f"{before}{text}{behind}"


def shows(spec: SceneSpec, concept: str) -> bool:
    return concept in [t.kind for t in spec.things]


def _scene(concept: str, world: Planted, rng: np.random.Generator, alone: bool = False) -> SceneSpec:
    """The concept, in two of five scenes with a healthy one beside it."""
    things = [(_color(rng), concept)]
    if not alone and rng.random() < 0.4:
        things.append((_color(rng), str(rng.choice([h for h in world.healthy if h != concept]))))
    return _still(scene_of(things, rng))


def _instead(spec: SceneSpec, world: Planted, rng: np.random.Generator) -> SceneSpec:
    """The same scene with a healthy concept in place of its one thing."""
    return _still(scene_of([(spec.things[0].color, str(rng.choice(world.healthy)))], rng, spec.background))


def _still(spec: SceneSpec) -> SceneSpec:
    return replace(spec, things=tuple(replace(t, size_px=SIZE_PX, dx_px=0, dy_px=0) for t in spec.things))


def _color(rng: np.random.Generator) -> str:
    return str(rng.choice(list(COLORS)))
