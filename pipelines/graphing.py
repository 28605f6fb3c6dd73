"""The `zcurate graph` commands: what they do, apart from reading arguments and printing."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.graph.dump_files import TABLES, find_dumps
from zcurate.graph.errors import GraphError
from zcurate.graph.fold import fold
from zcurate.graph.prune import Pruned
from zcurate.graph.store import Graph
from zcurate.graph.visual_vlm import TextEngine

from .report.graph_prune import PrunePage, Sampled, Side, render_prune
from .view import open_view

_LISTS = ("articles", "titles", "nodes", "links", "edges")
_TAXONOMIES = ("categories", "taxonomy")
_WIKI = re.compile(r"^([a-z_]+?)wiki$")


@contextmanager
def errors_for_people() -> Iterator[None]:
    """Errors of the graph library as those the command line prints without a traceback."""
    try:
        yield
    except GraphError as e:
        raise DatasetError(str(e)) from e


def language_of(folder: Path) -> str:
    """The language of a dump folder by its file names, e.g. `zh` of zhwiki. Raises ConfigError: it has none."""
    wiki = find_dumps(folder, required=()).wiki
    match = _WIKI.match(wiki)
    if not match:
        raise ConfigError(f"{folder}: give its language, e.g. --lang en")
    return match[1].replace("_", "-")


def dump_pairs(folders: Sequence[Path], langs: Sequence[str]) -> tuple[tuple[tuple[Path, str], ...], str]:
    """((folder, language) pairs, language of what is no dump). Raises ConfigError: they do not pair up."""
    if not langs:
        return tuple((f, language_of(f)) for f in folders), "en"
    if len(langs) not in (len(folders), len(folders) + 1):
        raise ConfigError(
            f"{len(folders)} --dumps and {len(langs)} --lang: give one language after each folder of dumps"
        )
    return tuple(zip(folders, langs, strict=False)), langs[-1]


def list_files(
    paths: Sequence[Path], taxonomies: Sequence[Path]
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """(title and link lists, taxonomies); a folder stands for the files in it that go by the usual names.

    Raises:
        ConfigError: a folder without any.
    """
    lists, trees = [], list(taxonomies)
    for path in paths:
        if not path.is_dir():
            lists.append(path)
            continue
        stems = {p: p.name.split(".")[0].lower() for p in sorted(path.iterdir()) if p.is_file()}
        found = [p for p, stem in stems.items() if stem in _LISTS]
        trees += [p for p, stem in stems.items() if stem in _TAXONOMIES]
        if not found:
            raise ConfigError(
                f"{path}: no list in it; files are named {', '.join(_LISTS)}, with .tsv or .txt"
            )
        lists += found
    return tuple(lists), tuple(trees)


def scan(folder: Path) -> list[dict[str, Any]]:
    """Read every table of a dump once; rows, bytes and columns of each. Raises DumpError on damage."""
    key = {"page": "page_id", "linktarget": "lt_id", "pagelinks": "pl_from", "redirect": "rd_from"}
    key |= {"page_props": "pp_page", "categorylinks": "cl_from"}
    found = []
    for name, table in find_dumps(folder, required=()).tables.items():
        rows = sum(b.num_rows for b in table.batches([key[name]]))
        stats = table.stats
        facts = {"table": name, "file": table.path.name, "rows": rows, "sql_bytes": stats.sql_bytes}
        found.append({**facts, "complete": stats.complete, "columns": list(stats.columns)})
    return sorted(found, key=lambda f: TABLES.index(f["table"]))


def data_counts(url: str) -> dict[str, int]:
    """Folded concept -> images that show it, over what a dataset's newest run selected. Raises DatasetError."""
    counts: Counter[str] = Counter()
    view = open_view(url)
    if not view.has("concepts"):
        raise DatasetError(f"{url}: no concepts yet; run: zcurate run concepts {url}")
    for _, table in view.selected(["concepts.concepts"]):
        column = pc.list_flatten(table.column("concepts.concepts").combine_chunks())
        for row in pc.value_counts(column).to_pylist():
            if row["values"] is not None:
                counts[fold(row["values"])] += row["counts"]
    return dict(counts)


def text_engine(name: str) -> TextEngine:
    """A chat engine of the registry (`openai:URL#MODEL`), or your own, `package.module:factory`, called without
    arguments. Raises ConfigError."""
    from .graph_models import ChatAnswers, is_chat  # here: it brings the captioner in

    if is_chat(name):
        return ChatAnswers(name)
    module, _, factory = name.partition(":")
    if not module or not factory:
        raise ConfigError(f"--vlm {name!r}: write openai:URL#MODEL, or package.module:factory")
    try:
        engine = getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError) as e:
        raise ConfigError(f"--vlm {name!r}: {e}; put the module on PYTHONPATH") from None
    if not hasattr(engine, "answers") or not hasattr(engine, "model"):
        raise ConfigError(f"--vlm {name!r}: an engine has `model` and `answers(prompts)`")
    return engine


def nodes_of_file(graph: Graph, path: Path) -> tuple[list[int], list[str]]:
    """(nodes that the lines of a file name, lines that name none). Raises ConfigError: no such file."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    nodes, unknown = [], []
    for line in (line.strip() for line in lines):
        if not line or line.startswith("# "):
            continue
        try:
            nodes.append(graph.resolve(line))
        except GraphError:
            unknown.append(line)
    return nodes, unknown


def prune_lines(graph: Graph, pruned: Pruned, per_reason: int = 6) -> list[str]:
    """Samples of both sides of a prune run as lines of text, largest groups first."""
    lines = []
    for side in _sides(graph, pruned, per_reason):
        for method, reason, count, items in side.groups:
            names = ", ".join(i.name for i in items)
            lines.append(f"  {'kept' if side.kept else 'dropped'}, {method}: {reason} ({count:,}): {names}")
    return lines


def write_prune_page(graph: Graph, pruned: Pruned, out: Path, per_reason: int = 12) -> None:
    """An HTML page with samples of what stayed and what went, per method and reason."""
    sides = _sides(graph, pruned, per_reason)
    categories = int(pc.equal(graph.nodes["kind"], "category").to_numpy().sum())
    page = PrunePage(graph.path.name, graph.version + 1, graph.n, categories, pruned.counts, sides)
    out.write_text(render_prune(page), encoding="utf-8")


def _sides(graph: Graph, pruned: Pruned, per_reason: int) -> tuple[Side, ...]:
    sides = []
    articles = pc.not_equal(graph.nodes["kind"], "category").to_numpy()
    share = graph.pagerank
    for kept in (True, False):
        side = np.flatnonzero((pruned.keep == kept) & articles)
        groups: dict[tuple[str, str], list[int]] = {}
        for v in side.tolist():
            reason = pruned.reason[v] if pruned.method[v] != "vlm" else "asked of a model"
            groups.setdefault((pruned.method[v], reason), []).append(v)
        cards = []
        for (method, reason), nodes in sorted(groups.items(), key=lambda g: -len(g[1])):
            # The best known, where a wrong decision costs most, and an even walk through the rest.
            ranked = sorted(nodes, key=lambda v: (-share[v], v))
            head = ranked[: per_reason // 2]
            rest = ranked[len(head) :]
            step = max(1, len(rest) // max(1, per_reason - len(head)))
            shown = (head + rest[::step])[:per_reason]
            rows = graph.nodes.select(["name", "lang", "kind"]).take(pa.array(shown, pa.int64())).to_pylist()
            items = [
                Sampled(r["name"], r["lang"], r["kind"], float(share[v]), str(pruned.reason[v]))
                for v, r in zip(shown, rows, strict=True)
            ]
            cards.append((method, reason, len(nodes), items))
        sides.append(Side(kept, len(side), float(share[side].sum()), tuple(cards)))
    return tuple(sides)
