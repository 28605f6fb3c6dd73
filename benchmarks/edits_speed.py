"""How fast edit pairs are made: pairs of rendered text per second and core, and what all pairs of a group cost.

Three figures, in seconds of one core's time, so that others at work on the machine count little:

- pairs_per_s_core: pairs of one text edit each, made from nothing: a sampled layout, the edit, both sides drawn, mask,
  measures, verdict, instructions in both languages, both sides encoded without loss. Read-back is off. The peer is the
  time Pillow's default PNG alone takes for the same two sides.
- expansion_share: of the time in which groups of versions are made, the share that turns N versions into N(N+1)
  judged and instructed pairs.
- peak_memory_mib: of the process.

The last line of the output is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import time
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from zcurate.curation.edits.checks import ACCEPT, judge, measure
from zcurate.curation.edits.encoding import encode_mask, encode_png
from zcurate.curation.edits.experts import NoProposalError
from zcurate.curation.edits.group import Counted, Node, expand, pair_of
from zcurate.curation.edits.library import Library
from zcurate.curation.edits.making import Group, Maker, Plan
from zcurate.curation.edits.phrases import LANGUAGES, instruct
from zcurate.curation.edits.scene import Scene, on_grid
from zcurate.curation.edits.text.experts import NEED_TEXTS
from zcurate.curation.edits.text.fonts import find_fonts
from zcurate.curation.edits.text.kit import Kit
from zcurate.curation.edits.text.lettering import Lettering
from zcurate.curation.edits.text.phrase_lists import bundled
from zcurate.pipelines.demo import landscapes
from zcurate.pipelines.demo.canvas import Canvas


class TimedMaker(Maker):
    """A maker that adds up the seconds of its expansion."""

    expansion_s = 0.0

    def _judged(self, *args: Any) -> Any:
        start = time.process_time()
        done = super()._judged(*args)
        self.expansion_s += time.process_time() - start
        return done


def photos(count: int, side_px: int) -> list[np.ndarray]:
    """Rendered landscapes with grain, which costs an encoder what a photograph's does."""
    found = []
    for number in range(count):
        rng = np.random.default_rng(number)
        paper = Canvas(side_px, side_px)
        weather = landscapes.WEATHERS[number % len(landscapes.WEATHERS)]
        (landscapes.mountain_lake, landscapes.seascape, landscapes.forest)[number % 3](paper, rng, weather)
        found.append(on_grid(paper.finish(rng)))
    return found


def text_pair(lettering: Lettering, base: np.ndarray, number: int) -> tuple[bytes, bytes] | None:
    """Both encoded sides of one pair, with everything that would be stored of it; None where nothing fits."""
    rng = np.random.default_rng((number, 11))
    scene = Scene(str(number), base, lettering.layers)
    experts = {e.name: e for e in lettering.experts()}
    names = sorted(NEED_TEXTS)
    try:
        first = experts["add_texts"].propose(scene, {}, rng)
    except NoProposalError:
        return None
    source = first.spec.apply({})
    proposal = None
    for shift in range(len(names)):  # as a maker does: an expert that finds nothing gives way to the next
        try:
            proposal = experts[names[(number + shift) % len(names)]].propose(scene, source, rng)
            break
        except NoProposalError:
            continue
    if proposal is None:
        return None
    target = proposal.spec.apply(source)
    pair = pair_of([Node({}), Node(source), Node(target, proposal.spec.order)], 1, 2)
    one, other = scene.render(source), scene.render(target)
    mask = scene.mask(pair.spec, source)
    verdict = judge(pair.spec, pair.types, measure(one, other, mask))
    for language in LANGUAGES:
        for long in (False, True):
            instruct(
                pair.spec,
                source,
                proposal.names,
                language,
                lambda label, options: options[number % len(options)],
                long,
            )
    encode_mask(mask)
    sides = encode_png(one), encode_png(other)
    return sides if verdict.status == ACCEPT else None


def pillow_s(sides: Sequence[bytes]) -> float:
    """Seconds in which Pillow encodes decoded sides at its default level."""
    pictures = [Image.fromarray(cv2.imdecode(np.frombuffer(s, np.uint8), cv2.IMREAD_COLOR)) for s in sides]
    start = time.process_time()
    for picture in pictures:
        picture.save(io.BytesIO(), "PNG")
    return time.process_time() - start


def expanded_s(groups: Sequence[Group], plan: Plan) -> float:
    """Seconds in which the specs of all pairs are found; the maker's own clock has the rest."""
    start = time.process_time()
    for group in groups:
        list(
            expand(
                [Node(v.state) for v in group.versions if v.state is not None], Counted(), plan.most_changes
            )
        )
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=400, help="text pairs to make (default 400)")
    parser.add_argument("--groups", type=int, default=24, help="groups to expand (default 24)")
    parser.add_argument("--side", type=int, default=512, help="side of pictures, px (default 512)")
    parser.add_argument("--quick", action="store_true", help="60 pairs, 6 groups")
    args = parser.parse_args()
    if args.quick:
        args.pairs, args.groups = 60, 6
    cv2.setNumThreads(1)
    lettering = Lettering(Kit(find_fonts(), bundled()))
    bases = photos(8, args.side)
    for number in range(8):
        text_pair(lettering, bases[number], 10**6 + number)  # fonts are opened once

    start, kept, sides, lost = time.process_time(), 0, [], 0
    for number in range(args.pairs):
        made = text_pair(lettering, bases[number % len(bases)], number)
        kept, lost = kept + (made is not None), lost + (made is None)
        if made is not None and len(sides) < 40:
            sides += made
    rate = kept / (time.process_time() - start)
    png_ms = 2000 * pillow_s(sides) / len(sides)
    print(f"{kept} pairs accepted, {lost} without a change that fits: {rate:.1f} pairs/s on one core")
    print(f"Pillow's default PNG of both sides alone: {png_ms:.1f} ms a pair ({1000 / png_ms:.1f} pairs/s)")

    plan = Plan(versions=4, max_side_px=args.side)
    maker = TimedMaker(plan, Library(), texts=lettering)
    start = time.process_time()
    groups = [maker.make(bases[n % len(bases)], f"group {n}") for n in range(args.groups)]
    whole = time.process_time() - start
    expansion = maker.expansion_s + expanded_s(groups, plan)
    pairs = sum(len(g.pairs) for g in groups)
    share = expansion / (whole - expansion)
    print(
        f"{len(groups)} groups, {pairs} pairs in {whole:.2f} s; expansion {expansion:.3f} s = {share:.2%} of the nodes"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {
        "pairs_per_s_core": round(rate, 1),
        "ratio_to_pillow_png": round(rate * png_ms / 1000, 2),
        "group_pairs_per_s_core": round(pairs / whole, 1),
        "expansion_share": round(share, 4),
        "peak_memory_mib": round(peak),
        "side_px": args.side,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
