"""From one picture to a group: which experts edit it, the versions they make, and all pairs of them with verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import xxhash

from .checks import PSNR_CAP_DB, Limits, Measures, Verdict, changed, judge, measure
from .cutout import NoCutoutError, cut_out
from .encoding import encode_mask, encode_png
from .experts import Expert, NoProposalError
from .experts_things import names_of, object_experts, part_assets, part_experts
from .experts_tones import tone_experts
from .group import Counted, Node, Pair, expand
from .library import Library, plain_backgrounds
from .phrases import LANGUAGES, Names, Referent, UnspeakableError, instruct
from .scene import Scene, on_grid
from .spec import EditSpec, State, between
from .things import referent_of

#: Smallest side of a picture that is edited, px.
MIN_SIDE_PX = 64


@dataclass(frozen=True)
class Plan:
    """How a group is made.

    Attributes:
        versions: edited versions of a picture; N of them give N(N+1) pairs.
        mixed_share: share of versions that join two experts.
        chained_share: share of versions made from another version rather than from the real picture.
        max_side_px: longer pictures are reduced to this before anything else.
        most_changes: slots a pair may change.
        cap: pairs of a group at most; None for all.
        weights: expert name -> how often it is tried, 1 by default, 0 for never.
        seed: of all choices, with the picture's own id.
    """

    versions: int = 4
    mixed_share: float = 0.25
    chained_share: float = 0.35
    max_side_px: int = 768
    most_changes: int = 3
    cap: int | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Version:
    """A node with its picture."""

    state: State
    png: bytes
    mask_png: bytes | None
    width_px: int
    height_px: int
    experts: tuple[str, ...]


@dataclass(frozen=True)
class JudgedPair:
    """A pair with everything that is stored about it. `names` are what its instructions call things."""

    pair: Pair
    verdict: Verdict
    measures: Measures
    instructions: Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """All versions and pairs of one picture. `skipped`: what was left out, by reason."""

    key: str
    versions: tuple[Version, ...]
    pairs: tuple[JudgedPair, ...]
    skipped: Counter[str]


class Maker:
    """Makes groups. Holds the experts; the same picture, id and plan give the same bytes wherever it runs.

    `more`: experts beside the built-in ones, e.g. `foreign.Foreign` or those of rendered text.
    """

    def __init__(
        self, plan: Plan, library: Library, limits: Limits | None = None, more: Sequence[Expert] = ()
    ):
        self.plan, self.library, self.limits = plan, library, limits or Limits()
        self._backgrounds = plain_backgrounds()
        known = [*tone_experts(), *object_experts(library), *part_experts(), *more]
        unknown = sorted(set(plan.weights) - {e.name for e in known})
        if unknown:
            raise ValueError(
                f"weights name experts that do not exist: {unknown}; there are {[e.name for e in known]}"
            )
        self._experts = [e for e in known if plan.weights.get(e.name, 1.0) > 0]

    def make(self, rgb: np.ndarray, key: str, label: str | None = None) -> Group:
        """The group of one picture.

        Args:
            rgb: (H, W, 3) uint8. key: id of the picture; decides all choices, with the plan's seed.
            label: class of what it shows, for names; may be None.

        Raises:
            ValueError: the picture is smaller than `MIN_SIDE_PX`.
        """
        if min(rgb.shape[:2]) < MIN_SIDE_PX:
            raise ValueError(
                f"{rgb.shape[1]} x {rgb.shape[0]} px is too small to edit; at least {MIN_SIDE_PX} px"
            )
        skipped: Counter[str] = Counter()
        scene = self._scene(on_grid(_reduced(rgb, self.plan.max_side_px)), key, label, skipped)
        nodes, experts = self._nodes(scene, skipped)
        pictures = [scene.render(n.state) for n in nodes]
        masks = [scene.mask(_spec(nodes[0], n), {}) if i else None for i, n in enumerate(nodes)]
        forward = [None, *(measure(pictures[0], p, m) for p, m in zip(pictures[1:], masks[1:], strict=True))]
        versions = tuple(
            Version(n.state, encode_png(p), None if m is None else encode_mask(m), p.shape[1], p.shape[0], e)
            for n, p, m, e in zip(nodes, pictures, masks, experts, strict=True)
        )
        counted = Counted()
        judged = []
        for pair in expand(nodes, counted, self.plan.most_changes, self.plan.cap, f"{self.plan.seed}|{key}"):
            done = self._judged(pair, nodes, scene, pictures, forward, skipped)
            if done is not None:
                judged.append(done)
        return Group(key, versions, tuple(judged), skipped + counted.skipped)

    def _scene(self, base: np.ndarray, key: str, label: str | None, skipped: Counter[str]) -> Scene:
        assets: dict[str, Any] = dict(self.library.assets())
        try:
            part = cut_out(base)
        except NoCutoutError as e:
            skipped[f"cutout: {e}"] += 1
        else:
            assets |= part_assets(base, part, referent_of(label), self._backgrounds)
        return Scene(key, base, assets=assets)

    def _nodes(self, scene: Scene, skipped: Counter[str]) -> tuple[list[Node], list[tuple[str, ...]]]:
        """The real picture and its versions. An expert that finds nothing gives way to the next one drawn."""
        rng = np.random.default_rng(xxhash.xxh3_64_intdigest(f"edits|{self.plan.seed}|{scene.key}".encode()))
        nodes, experts = [Node({})], [()]
        order = self._drawn(rng)
        while len(nodes) <= self.plan.versions and order:
            expert = order.pop(0)
            start = 0
            if len(nodes) > 1 and rng.random() < self.plan.chained_share:
                start = int(rng.integers(1, len(nodes)))
            if expert.name in _NEED_OBJECTS:
                start = next(
                    (i for i, n in enumerate(nodes) if any(s.startswith("object/") for s in n.state)), 0
                )
            try:
                names, order_of, state = [expert.name], list(nodes[start].order), nodes[start].state
                proposal = expert.propose(scene, state, rng)
                state, order_of = proposal.spec.apply(state), [*order_of, *proposal.spec.order]
                if start == 0 and order and rng.random() < self.plan.mixed_share:
                    second = next((e for e in order if _kind(e) != _kind(expert)), None)
                    if second is not None:
                        order.remove(second)
                        proposal = second.propose(scene, state, rng)
                        state, order_of = proposal.spec.apply(state), [*order_of, *proposal.spec.order]
                        names.append(second.name)
            except NoProposalError as e:
                skipped[f"expert: {e}"] += 1
                continue
            if not _sensible(state):
                skipped["senseless_state"] += 1
                continue
            nodes.append(Node(state, tuple(dict.fromkeys(s for s in order_of if s in state))))
            experts.append(tuple(names))
        return nodes, experts

    def _drawn(self, rng: np.random.Generator) -> list[Expert]:
        """All experts in random order, likelier ones first (Efraimidis and Spirakis 2006)."""
        keys = [float(rng.random()) ** (1 / self.plan.weights.get(e.name, 1.0)) for e in self._experts]
        return [self._experts[i] for i in np.argsort(keys, kind="stable")[::-1]]

    def _judged(
        self,
        pair: Pair,
        nodes: Sequence[Node],
        scene: Scene,
        pictures: Sequence[np.ndarray],
        forward: Sequence[Measures | None],
        skipped: Counter[str],
    ) -> JudgedPair | None:
        source, target = nodes[pair.source].state, nodes[pair.target].state
        reason = _silly(pair, source, target)
        if reason:
            skipped[reason] += 1
            return None
        names = self._names(scene, source, target)

        def choose(label: str, options: Sequence[str]) -> str:
            drawn = f"{self.plan.seed}|{scene.key}|{pair.source}|{pair.target}|{label}"
            return options[xxhash.xxh3_64_intdigest(drawn.encode()) % len(options)]

        try:
            texts = {
                f"{language}_{'long' if long else 'short'}": instruct(
                    pair.spec, source, names, language, choose, long
                )
                for language in LANGUAGES
                for long in (False, True)
            }
        except UnspeakableError:
            skipped["unspeakable"] += 1
            return None
        found = _between(pair, pictures, forward)
        return JudgedPair(pair, judge(pair.spec, pair.types, found, self.limits), found, texts)

    def _names(self, scene: Scene, source: State, target: State) -> Names:
        objects = names_of(self.library, source, target)
        part: Referent | None = scene.assets.get("referent:part")

        def of(state: State, known: Mapping[str, Referent]) -> dict[str, Referent]:
            found = dict(known)
            for slot in {*source, *target}:
                if slot.startswith(("part/", "extract/")) and part is not None:
                    color = (state.get(slot) or {}).get("color")
                    found[slot] = part if color is None else part.colored(color)
                elif slot.startswith("background/"):
                    name = state.get(slot)
                    found[slot] = scene.assets[
                        f"referent:background:{name}" if name else "referent:background"
                    ]
            return found

        return Names(of(source, objects.source), of(target, objects.target))


#: Experts that change a sprite that is there.
_NEED_OBJECTS = frozenset(
    f"{verb}_object" for verb in ("count", "move", "resize", "replace", "turn", "recolor", "remove")
)


_COLORLESS = frozenset(("sketch", "emboss", "duotone"))
_COLOR_SLOTS = frozenset(("photometric/temperature", "photometric/saturation"))


def _kind(expert: Expert) -> str:
    return expert.types[0].partition(".")[0]


def _sensible(state: State) -> bool:
    """Whether anybody would want the picture: no sticker on an extracted thing, no two grounds, no removed and moved."""
    kinds = {slot.partition("/")[0] for slot in state}
    if "extract" in kinds and kinds & {"object", "part", "background"}:
        return False
    if "background" in kinds and "part" in kinds and (state["part/0"] or {}).get("removed"):
        return False
    colorless = state.get("photometric/grey") or (state.get("style/0") or {}).get("name") in _COLORLESS
    if colorless and any(s in _COLOR_SLOTS for s in state):
        return False  # a change of color nobody could see
    faults = [s for s in state if s.startswith("pixel/")]
    return len(faults) <= 1 and not (faults and "style" in kinds)


def _silly(pair: Pair, source: State, target: State) -> str | None:
    """Pairs of two versions that are exact but teach nothing worth knowing; the reason, or None."""
    if pair.kind != "mixed":
        return None
    if any(s.startswith("pixel/") for s in target):
        return "degraded_target"
    geometry = [c for c in pair.spec.changes if c.slot.startswith("geometry/")]
    if geometry and len(pair.spec.changes) > 1:
        # What is named as lying on the left lies elsewhere in the turned or cropped picture.
        return "geometry_and_more"
    if geometry and geometry[0].before is not None and geometry[0].after is not None:
        return "two_geometries"
    if "geometry/0" in source and any(
        c.slot.partition("/")[0] in ("object", "part") for c in pair.spec.changes
    ):
        return "geometry_and_more"
    return None


def _between(pair: Pair, pictures: Sequence[np.ndarray], forward: Sequence[Measures | None]) -> Measures:
    """Measures of a pair from those of the versions it joins, which were taken against the real picture.

    An inverse pair has its forward pair's figures. Of two versions, each clean out of its own mask, the pair is clean
    out of both; only the changed share is looked at anew, on every fourth pixel.
    """
    if pair.kind != "mixed":
        return forward[pair.source or pair.target]  # type: ignore[return-value]
    a, b = forward[pair.source], forward[pair.target]
    one, other = pictures[pair.source], pictures[pair.target]
    if one.shape != other.shape:
        return Measures(1.0, 255.0, 1.0, None, None, None)
    differs = changed(np.ascontiguousarray(one[::2, ::2]), np.ascontiguousarray(other[::2, ::2]))
    mean = (
        float(cv2.absdiff(one[::2, ::2], other[::2, ::2]).max(axis=2)[differs].mean())
        if differs.any()
        else 0.0
    )

    def worst(pick: Any, values: tuple[float | None, float | None]) -> float | None:
        return None if None in values else pick(values)

    psnr = worst(min, (a.outside_psnr_db, b.outside_psnr_db))
    if psnr is not None and psnr < PSNR_CAP_DB:
        psnr -= 6.0  # both errors may fall on the same pixel with opposite signs
    return Measures(
        float(differs.mean()),
        mean,
        min(1.0, a.mask_share + b.mask_share),
        psnr,
        worst(min, (a.outside_ssim, b.outside_ssim)),
        worst(sum, (a.shift_px, b.shift_px)),
    )


def _spec(start: Node, end: Node) -> EditSpec:
    return between(start.state, end.state, end.order)


def _reduced(rgb: np.ndarray, max_side_px: int) -> np.ndarray:
    factor = max_side_px / max(rgb.shape[:2])
    return rgb if factor >= 1 else cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
