"""Tags that people wrote in a review and that a graph does not know: what it may lack."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from zcurate.captioner.template import measured_tags
from zcurate.curation.active.review.overlay import read_corrections
from zcurate.curation.active.review.tasks import is_list
from zcurate.curation.errors import ConfigError
from zcurate.curation.store import Dataset
from zcurate.graph.mapping import ConceptMap
from zcurate.graph.tags import fold

from .stages.concepts import open_graph


def unknown_tags(url: str, graph: str) -> list[tuple[str, int]]:
    """(folded tag, samples) of corrected tags that name no kept concept of a graph, commonest first.

    Read from what `zcurate review-apply` wrote; what was taken back since counts no more.

    Raises:
        ConfigError: no graph there. DatasetError: a damaged file of corrections.
    """
    names, measured = ConceptMap(open_graph(graph, "--graph")), measured_tags()
    counts: Counter[str] = Counter()
    for fields in read_corrections(Dataset.open(url)).samples.values():
        tags = [tag for name, value in fields.items() if is_list(name) for tag in value]
        unmapped = names.map([t for t in tags if fold(t) not in measured]).unmapped
        counts.update(set(unmapped))
    return sorted(counts.items(), key=lambda c: (-c[1], c[0]))


def write_tags(path: Path, tags: list[tuple[str, int]]) -> None:
    """Lines of `tag <tab> samples`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{tag}\t{count}\n" for tag, count in tags)
    path.write_text(text, encoding="utf-8")


def read_tags(path: Path) -> list[tuple[str, int]]:
    """What `write_tags` wrote; a line without a number counts once. Raises ConfigError naming the line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: cannot be read: {e}") from e
    found = []
    for number, line in enumerate(lines, 1):
        tag, _, count = line.partition("\t")
        if not tag.strip():
            continue
        if count.strip() and not count.strip().isdecimal():
            raise ConfigError(
                f"{path}, line {number}: {count!r} is no number of samples; write TAG<tab>NUMBER"
            )
        found.append((fold(tag), int(count) if count.strip() else 1))
    return found
