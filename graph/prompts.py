"""What users ask for: how many prompts of a file name each concept.

A prompt names a concept by its longest alias, words in English and other spaced scripts, characters in Chinese. Of
several nodes of one alias the first of `Graph.find` is meant. Stop words, numbers and single letters name nothing.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from . import journal
from .errors import GraphError
from .fold import fold
from .journal import Author
from .store import Graph
from .tags import STOPWORDS, singulars
from .upkeep import record

_TOKEN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[^\W_]+(?:['’.&-][^\W_]+)*")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_MAX_WORDS, _MAX_HAN, _MAX_CHARS = 6, 10, 2000
_COLUMNS = ("prompt", "text", "caption", "query")
_CHUNK = 20_000


@dataclass(frozen=True)
class PromptCounts:
    """`nodes`: int64, ascending. `counts`: prompts that name each. `prompts`: read. `matched`: that name any."""

    nodes: np.ndarray
    counts: np.ndarray
    prompts: int
    matched: int


def read_prompts(path: Path) -> Iterator[str]:
    """Prompts of a text file (one per line), JSONL, TSV or CSV (column prompt, text, caption or query).

    Raises:
        GraphError: names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise GraphError(f"{path}: not UTF-8 (byte {e.start}); convert the file") from None
    except FileNotFoundError:
        raise GraphError(f"{path}: no such file") from None
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield _of_json(path, number, line)
    elif suffix in (".tsv", ".csv"):
        rows = csv.reader(text.splitlines(), delimiter="\t" if suffix == ".tsv" else ",")
        head = [h.strip().lower() for h in next(rows, [])]
        at = next((head.index(c) for c in _COLUMNS if c in head), None)
        if at is None:
            raise GraphError(f"{path}: no column {', '.join(_COLUMNS)} in its first line; name one so")
        yield from (row[at] for row in rows if len(row) > at and row[at].strip())
    else:
        yield from (line for line in text.splitlines() if line.strip())


def _of_json(path: Path, number: int, line: str) -> str:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        found = next((value[c] for c in _COLUMNS if isinstance(value.get(c), str)), None)
        if found is not None:
            return found
    raise GraphError(
        f"{path}, line {number}: no string under {', '.join(_COLUMNS)}; write one object per line"
    )


def count_prompts(graph: Graph, prompts: Iterable[str]) -> PromptCounts:
    """How many prompts name each node; a prompt counts once per node."""
    total: dict[int, int] = {}
    read = matched = 0
    chunk: list[list[str]] = []

    def flush() -> None:
        nonlocal matched
        names = _names_of(graph, {c for tokens in chunk for c in _candidates(tokens)})
        for tokens in chunk:
            found = set(_longest(tokens, names))
            matched += bool(found)
            for node in found:
                total[node] = total.get(node, 0) + 1
        chunk.clear()

    for prompt in prompts:
        read += 1
        chunk.append(_TOKEN.findall(fold(prompt[:_MAX_CHARS])))
        if len(chunk) == _CHUNK:
            flush()
    flush()
    nodes = np.array(sorted(total), np.int64)
    return PromptCounts(nodes, np.array([total[v] for v in nodes.tolist()], np.int64), read, matched)


def add_prompts(graph: Graph, path: Path, author: Author, strength: float = 1.0) -> PromptCounts:
    """Count a file's prompts and record it: weights follow the formula of `upkeep`. Open the graph again to see them.

    Raises:
        GraphError: an unreadable file, one counted before, or a negative strength.
    """
    if not strength >= 0:
        raise GraphError(f"strength {strength} must be >= 0")
    counts = count_prompts(graph, read_prompts(path))
    digest = xxhash.xxh3_64_hexdigest(path.read_bytes())
    if any(e["xxh3"] == digest for e in graph.overlay.prompts):
        raise GraphError(f"{path}: these prompts are counted already; see zcurate graph log")
    number = len(journal.read(graph.path / journal.CHANGES)) + 1
    file = f"decisions/prompts-{number:04d}.parquet"
    (graph.path / "decisions").mkdir(exist_ok=True)
    named = graph.nodes.select(["name", "lang", "wikidata"]).take(pa.array(counts.nodes))
    table = pa.table({"node": counts.nodes, "prompts": counts.counts}).append_column("name", named["name"])
    table = table.append_column("lang", named["lang"]).append_column("wikidata", named["wikidata"])
    pq.write_table(table, graph.path / file)
    event = {"event": "prompts", "file": path.name, "xxh3": digest, "counts": file, "prompts": counts.prompts}
    record(graph, [{**event, "matched": counts.matched, "strength": strength}], author)
    return counts


def _spans(tokens: Sequence[str], first: int) -> Iterator[tuple[int, str]]:
    """(end, text) of what may be an alias from a token on, longest first."""
    han = bool(_HAN.match(tokens[first]))
    limit = first + (_MAX_HAN if han else _MAX_WORDS)
    end = first
    while end < min(len(tokens), limit) and bool(_HAN.match(tokens[end])) == han:
        end += 1
    for stop in range(end, first, -1):
        text = ("" if han else " ").join(tokens[first:stop])
        if (len(text) > 1 and not text.isdigit() and text not in STOPWORDS) if stop == first + 1 else True:
            yield stop, text


def _candidates(tokens: Sequence[str]) -> Iterator[str]:
    for first in range(len(tokens)):
        for _, text in _spans(tokens, first):
            yield text
            yield from singulars(text)


def _longest(tokens: Sequence[str], names: dict[str, int]) -> Iterator[int]:
    first = 0
    while first < len(tokens):
        for stop, text in _spans(tokens, first):
            name = next((t for t in (text, *singulars(text)) if t in names), None)
            if name is not None:
                yield names[name]
                first = stop
                break
        else:
            first += 1


def _names_of(graph: Graph, candidates: set[str]) -> dict[str, int]:
    """Folded alias -> node, of the candidates that are aliases of kept articles, concepts or categories."""
    wanted = pa.array(sorted(candidates), pa.string())
    aliases = graph.aliases
    at = pc.index_in(aliases["folded"], value_set=wanted)
    rows = aliases.filter(pc.and_(pc.is_valid(at), pc.not_equal(aliases["source"], "section")))
    if rows.num_rows == 0:
        return {}
    nodes = rows["node"].to_numpy()
    kinds = graph.nodes["kind"].take(pa.array(nodes))
    good = (
        pc.is_in(kinds, value_set=pa.array(["article", "concept", "category"])).to_numpy() & graph.kept[nodes]
    )
    category = pc.equal(kinds, "category").to_numpy()
    order = np.lexsort((-nodes, graph.pagerank[nodes], ~category))
    order = order[good[order]]
    texts = rows["folded"].take(pa.array(order)).to_pylist()
    return dict(zip(texts, nodes[order].tolist(), strict=True))  # the last, best one stays
