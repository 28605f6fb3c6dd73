"""What is odd about the sources of a recipe beside those of its dataset: said before a build, and behind it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from zcurate.curation.store import SourceInfo


def source_notes(url: str, wanted: Mapping[str, SourceInfo], there: Mapping[str, SourceInfo]) -> list[str]:
    """Sentences about sources that the recipe no longer names, and about files that two sources list.

    Args:
        url: the dataset, for the command that a sentence gives.
        wanted: sources of the recipe, by name. With none, as of a recipe for a dataset that was ingested by hand,
            nothing is missing from it.
        there: those of the dataset.
    """
    notes = []
    if wanted:
        notes += [
            f"source {name} is in the dataset and not in the recipe: its samples stay, under the rules for all sources; "
            f"to take them out: zcurate prune {url} --where 'source == \"{name}\"' --reason ..."
            for name in sorted(set(there) - set(wanted))
        ]
    return notes + [
        f"sources {a.name} and {b.name} overlap ({b.root} is in {a.root}): the files of both are listed twice"
        for a, b in sorted(_nested({**there, **wanted}), key=lambda pair: (pair[0].name, pair[1].name))
    ]


def _nested(sources: Mapping[str, SourceInfo]) -> list[tuple[SourceInfo, SourceInfo]]:
    """Pairs of which the second root is the first or below it."""
    pairs = []
    for one, two in combinations(sources.values(), 2):
        outer, inner = sorted((one, two), key=lambda s: len(s.root.rstrip("/")))
        if (inner.root.rstrip("/") + "/").startswith(outer.root.rstrip("/") + "/"):
            pairs.append((outer, inner))
    return pairs
