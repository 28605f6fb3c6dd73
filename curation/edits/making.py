"""From one picture to a group: which experts edit it, the versions they make, and all pairs of them with verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xxhash

from ..errors import SampleError
from .checks import ACCEPT, Limits, Measures, Verdict, judge, measure
from .checks_composed import composed
from .cutout import NoCutoutError, cut_out, subject_of
from .encoding import encode_mask, encode_png
from .experts import Expert, Fit, NoProposalError
from .experts_scene import scene_experts
from .experts_things import names_of, object_experts, part_assets, part_experts
from .experts_tones import tone_experts
from .group import Counted, Node, Pair, expand
from .library import Library, plain_backgrounds
from .phrases import Names, Referent, UnspeakableError, instructions
from .references import Reference, references
from .scene import Scene, on_grid, reduced
from .sense import Overlaps, near_identical, sensible, silly
from .spec import EditSpec, State, between
from .text.lettering import Lettering
from .things import referent_of
from .video.surveying import Encoder, cosine, thumb

#: Smallest side of a picture that is edited, px.
MIN_SIDE_PX = 64


class PictureTooSmallError(SampleError):
    """A side is below `MIN_SIDE_PX`, or would be after reducing the other one."""


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
        reference_share: share of groups that get a pair of several sources, of each kind.
        seed: of all choices, with the picture's own id.
    """

    versions: int = 4
    reference_share: float = 0.5
    mixed_share: float = 0.25
    chained_share: float = 0.35
    max_side_px: int = 768
    most_changes: int = 3
    cap: int | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Version:
    """A node with its picture. `state`: None for a picture beside the group's own, e.g. a thing shown alone."""

    state: State | None
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
class ReferencePair:
    """A pair of several sources, all by the number of their version."""

    sources: tuple[int, ...]
    target: int
    made: Reference


@dataclass(frozen=True)
class Group:
    """All versions and pairs of one picture. `counted`: what was left out."""

    key: str
    versions: tuple[Version, ...]
    pairs: tuple[JudgedPair, ...]
    counted: Counted
    references: tuple[ReferencePair, ...] = ()


class Maker:
    """Makes groups. Holds the experts; the same picture, id and plan give the same bytes wherever it runs.

    `more`: experts beside the built-in ones, e.g. `foreign.Foreign`. `texts`: sets and changes texts, too. `encoder`:
    tells how alike both pictures of a pair are.
    """

    def __init__(
        self,
        plan: Plan,
        library: Library,
        limits: Limits | None = None,
        more: Sequence[Expert] = (),
        texts: Lettering | None = None,
        encoder: Encoder | None = None,
    ):
        self.plan, self.library, self.limits, self._texts = plan, library, limits or Limits(), texts
        self._encoder = encoder
        self._backgrounds = plain_backgrounds()
        known = [*tone_experts(), *object_experts(library), *part_experts(), *scene_experts(), *more]
        known += texts.experts() if texts else []
        unknown = sorted(set(plan.weights) - {e.name for e in known})
        if unknown:
            raise ValueError(
                f"weights name experts that do not exist: {unknown}; there are {[e.name for e in known]}"
            )
        self._experts = [e for e in known if plan.weights.get(e.name, 1.0) > 0]

    def make(self, rgb: np.ndarray, key: str, label: str | None = None, also: Sequence[str] = ()) -> Group:
        """The group of one picture.

        Args:
            rgb: (H, W, 3) uint8. key: id of the picture; decides all choices, with the plan's seed.
            label: class of what it shows, for names; may be None.
            also: other ids of the picture, by which edits made elsewhere may name it.

        Raises:
            PictureTooSmallError: the picture is smaller than `MIN_SIDE_PX`.
        """
        counted = Counted()
        scene = self._scene(self._fitted(rgb), key, label, counted)
        scene.assets.update(keys=(key, *also), fit=Fit(rgb.shape[:2], self._fitted))
        nodes, experts = self._nodes(scene, counted)
        for i, node in self._texts.boxed(scene, nodes, self.plan.seed) if self._texts else ():
            nodes.append(node)
            pointed = any(slot.startswith("box/") for slot in node.state)
            experts.append((*experts[i], "boxes" if pointed else "degraded"))
        pictures = [scene.render(n.state) for n in nodes]
        for i in reversed(near_identical(pictures, self.limits.no_op_share)):
            # An edit that left no trace must not become a pair that changes nothing.
            counted.add("near_identical")
            del nodes[i], experts[i], pictures[i]
        masks = [scene.mask(_spec(nodes[0], n), {}) if i else None for i, n in enumerate(nodes)]
        forward = [None, *(measure(pictures[0], p, m) for p, m in zip(pictures[1:], masks[1:], strict=True))]
        versions = tuple(
            Version(n.state, encode_png(p), None if m is None else encode_mask(m), p.shape[1], p.shape[0], e)
            for n, p, m, e in zip(nodes, pictures, masks, experts, strict=True)
        )
        halves = [np.ascontiguousarray(p[::2, ::2]) for p in pictures]
        overlaps = Overlaps(scene)
        judged = []
        texts = self._texts
        vectors = self._encoder.encode_images([thumb(p) for p in pictures]) if self._encoder else None
        read = [texts.read(scene, n.state, p) for n, p in zip(nodes, pictures, strict=True)] if texts else []
        for pair in expand(nodes, counted, self.plan.most_changes, self.plan.cap, f"{self.plan.seed}|{key}"):
            done = self._judged(pair, nodes, scene, halves, forward, counted, overlaps)
            if done is not None and texts:
                done = replace(done, verdict=texts.judged(done.verdict, pair.spec, read[pair.target]))
            if done is not None and vectors is not None:
                alike = round(cosine(vectors[pair.source], vectors[pair.target]), 5)
                scores = {**done.verdict.scores, "similarity": alike}
                done = replace(done, verdict=replace(done.verdict, scores=scores))
            if done is not None:
                judged.append(done)
        made = self._references(scene, nodes, pictures, judged)
        more, pairs = _numbered(made, len(versions))
        return Group(key, versions + more, tuple(judged), counted, pairs)

    def _fitted(self, rgb: np.ndarray) -> np.ndarray:
        """A picture as it is edited: not too large, its sides on the models' grid."""
        small = reduced(rgb, self.plan.max_side_px)
        if min(small.shape[:2]) < MIN_SIDE_PX:
            raise PictureTooSmallError(
                f"{rgb.shape[1]} x {rgb.shape[0]} px is too small to edit; at least {MIN_SIDE_PX} px a side, "
                f"and at most {self.plan.max_side_px // MIN_SIDE_PX} times as long as wide"
            )
        return on_grid(small)

    def _references(
        self,
        scene: Scene,
        nodes: Sequence[Node],
        pictures: Sequence[np.ndarray],
        judged: Sequence[JudgedPair],
    ) -> list[Reference]:
        forward = {
            j.pair.target: (j.pair.spec, j.measures, j.verdict)
            for j in judged
            if j.pair.source == 0 and j.verdict.status == ACCEPT
        }
        states = [n.state for n in nodes]
        names = [self._names(scene, {}, s) for s in states]
        given = [forward.get(i) for i in range(len(nodes))]
        seed = f"references|{self.plan.seed}|{scene.key}"
        return references(self.library, states, names, pictures, given, seed, self.plan.reference_share)

    def _scene(self, base: np.ndarray, key: str, label: str | None, counted: Counted) -> Scene:
        assets: dict[str, Any] = {**self.library.assets(), "subject": subject_of(base)}
        try:
            part = cut_out(base)
        except NoCutoutError as e:
            counted.add(f"cutout: {e}")
        else:
            assets |= part_assets(base, part, referent_of(label), self._backgrounds)
        if self._texts is None:
            return Scene(key, base, assets=assets)
        return Scene(key, base, self._texts.layers, assets | self._texts.assets(base))

    def _nodes(self, scene: Scene, counted: Counted) -> tuple[list[Node], list[tuple[str, ...]]]:
        """The real picture and its versions. An expert that finds nothing gives way to the next one drawn."""
        rng = np.random.default_rng(xxhash.xxh3_64_intdigest(f"edits|{self.plan.seed}|{scene.key}".encode()))
        nodes, experts = [Node({})], [()]
        order = self._drawn(rng)
        while len(nodes) <= self.plan.versions and order:
            expert = order.pop(0)
            start = 0
            if len(nodes) > 1 and rng.random() < self.plan.chained_share:
                start = int(rng.integers(1, len(nodes)))
            if self._texts:
                states = [n.state for n in nodes]
                if self._texts.opened(expert, order, states):
                    continue
                start = self._texts.start(expert, states, start, rng)
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
                counted.add(f"expert: {e}", expert.types[:1])
                continue
            if not sensible(state) or (self._texts and not self._texts.clear(scene, state)):
                counted.add("senseless_state", expert.types[:1])
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
        halves: Sequence[np.ndarray],
        forward: Sequence[Measures | None],
        counted: Counted,
        overlaps: Overlaps,
    ) -> JudgedPair | None:
        source, target = nodes[pair.source].state, nodes[pair.target].state
        reason = silly(pair, source, target) or ("ambiguous_overlap" if overlaps.ambiguous(pair) else None)
        if reason:
            counted.add(reason, pair.types)
            return None
        names = self._names(scene, source, target)

        def choose(label: str, options: Sequence[str]) -> str:
            drawn = f"{self.plan.seed}|{scene.key}|{pair.source}|{pair.target}|{label}"
            return options[xxhash.xxh3_64_intdigest(drawn.encode()) % len(options)]

        try:
            texts = instructions(pair.spec, source, names, choose)
        except UnspeakableError:
            counted.add("unspeakable", pair.types)
            return None
        found = composed(pair, halves, forward)
        return JudgedPair(pair, judge(pair.spec, pair.types, found, self.limits), found, texts)

    def _names(self, scene: Scene, source: State, target: State) -> Names:
        objects = names_of(self.library, source, target)
        part: Referent | None = scene.assets.get("referent:part")

        def of(state: State, known: Mapping[str, Referent]) -> dict[str, Referent]:
            found = dict(known)
            for slot in {*source, *target}:
                if slot.startswith("extract/") and state is target and slot not in target:
                    found[slot] = scene.assets["referent:background"]  # the thing gets its own ground back
                elif slot.startswith(("part/", "extract/")) and part is not None:
                    color = (state.get(slot) or {}).get("color")
                    found[slot] = part if color is None else part.colored(color)
                elif slot.startswith("background/"):
                    name = state.get(slot)
                    found[slot] = scene.assets[
                        f"referent:background:{name}" if name else "referent:background"
                    ]
            return found

        names = Names(of(source, objects.source), of(target, objects.target))
        return self._texts.names(scene, source, target, names) if self._texts else names


#: Experts that change a sprite that is there.
_NEED_OBJECTS = frozenset(
    f"{verb}_object" for verb in ("count", "move", "resize", "replace", "turn", "recolor", "remove")
)


def _kind(expert: Expert) -> str:
    return expert.types[0].partition(".")[0]


def _numbered(made: Sequence[Reference], first: int) -> tuple[tuple[Version, ...], tuple[ReferencePair, ...]]:
    """New pictures as versions, numbered on, and pairs that name them."""
    versions: list[Version] = []

    def number(picture: int | np.ndarray) -> int:
        if isinstance(picture, int):
            return picture
        versions.append(
            Version(None, encode_png(picture), None, picture.shape[1], picture.shape[0], ("reference",))
        )
        return first + len(versions) - 1

    pairs = tuple(ReferencePair(tuple(number(p) for p in m.sources), number(m.target), m) for m in made)
    return tuple(versions), pairs


def _spec(start: Node, end: Node) -> EditSpec:
    return between(start.state, end.state, end.order)
