"""From Wikipedia's SQL dumps to PageRank: parsing speed, join, time and memory, on synthetic data of English shape.

    python benchmarks/wiki_scale.py [--articles 200000] [--full] [--quick]

Dumps: all six tables with the columns of 2026, lines of about 1 MB, titles with quotes, backslashes and `),(`, link
targets by Zipf's law, a third of the pages redirects. `sql_mb_per_s` is uncompressed SQL over CPU seconds of the whole
process (so: per core), with the columns the graph needs; a regular expression over the same bytes is the peer. The
join is `read_wiki`: redirects, targets, links, categories.

PageRank: communities of a few hundred nodes that link among themselves nine times out of ten, in random order of
nodes; 28.6 links per node as in the English Wikipedia. Peers: SciPy's sparse product iterated to the same tolerance,
NetworkX on an eighth of it. Every step runs in a process of its own, whose peak memory is reported. `--full`: 7M nodes
and 200M edges, from unordered pairs. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PER_NODE = 200 / 7
LINE_BYTES = 1 << 20
COLUMNS = {
    "page": "`page_id` int(8) unsigned NOT NULL AUTO_INCREMENT,`page_namespace` int(11) NOT NULL DEFAULT 0,"
    "`page_title` varbinary(255) NOT NULL DEFAULT '',`page_is_redirect` tinyint(1) unsigned NOT NULL DEFAULT 0,"
    "`page_is_new` tinyint(1) unsigned NOT NULL DEFAULT 0,`page_random` double unsigned NOT NULL DEFAULT 0,"
    "`page_touched` binary(14) NOT NULL,`page_links_updated` varbinary(14) DEFAULT NULL,"
    "`page_latest` int(8) unsigned NOT NULL DEFAULT 0,`page_len` int(8) unsigned NOT NULL DEFAULT 0,"
    "`page_content_model` varbinary(32) DEFAULT NULL,`page_lang` varbinary(35) DEFAULT NULL,PRIMARY KEY (`page_id`)",
    "linktarget": "`lt_id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,`lt_namespace` int(11) NOT NULL,"
    "`lt_title` varbinary(255) NOT NULL,PRIMARY KEY (`lt_id`)",
    "pagelinks": "`pl_from` int(8) unsigned NOT NULL DEFAULT 0,`pl_from_namespace` int(11) NOT NULL DEFAULT 0,"
    "`pl_target_id` bigint(20) unsigned NOT NULL,PRIMARY KEY (`pl_from`,`pl_target_id`)",
    "redirect": "`rd_from` int(8) unsigned NOT NULL DEFAULT 0,`rd_namespace` int(11) NOT NULL DEFAULT 0,"
    "`rd_title` varbinary(255) NOT NULL DEFAULT '',`rd_interwiki` varbinary(32) DEFAULT NULL,"
    "`rd_fragment` varbinary(255) DEFAULT NULL,PRIMARY KEY (`rd_from`)",
    "page_props": "`pp_page` int(10) unsigned NOT NULL,`pp_propname` varbinary(60) NOT NULL DEFAULT '',"
    "`pp_value` blob NOT NULL,`pp_sortkey` float DEFAULT NULL,PRIMARY KEY (`pp_page`,`pp_propname`)",
    "categorylinks": "`cl_from` int(8) unsigned NOT NULL DEFAULT 0,`cl_sortkey` varbinary(230) NOT NULL DEFAULT '',"
    "`cl_timestamp` timestamp NOT NULL DEFAULT current_timestamp(),`cl_sortkey_prefix` varbinary(255) NOT NULL DEFAULT '',"
    "`cl_type` enum('page','subcat','file') NOT NULL DEFAULT 'page',`cl_collation_id` smallint(5) unsigned NOT NULL DEFAULT 0,"
    "`cl_target_id` bigint(20) unsigned NOT NULL,PRIMARY KEY (`cl_from`,`cl_target_id`)",
}
READ = {
    "page": (["page_id", "page_namespace", "page_is_redirect"], ["page_title"]),
    "linktarget": (["lt_id", "lt_namespace"], ["lt_title"]),
    "pagelinks": (["pl_from", "pl_target_id"], []),
    "redirect": (["rd_from", "rd_namespace"], ["rd_title", "rd_interwiki", "rd_fragment"]),
    "page_props": (["pp_page"], ["pp_propname", "pp_value"]),
    "categorylinks": (["cl_from", "cl_target_id"], []),
}
WORDS = "river castle Saint-Émile battle station song north_of village football 1987 album church lake train museum bridge".split()


def write_table(folder: Path, table: str, rows) -> int:
    """Rows of SQL text in lines of about a megabyte; the number of rows."""
    path = folder / f"enwiki-20260101-{table}.sql"
    insert, count = f"INSERT INTO `{table}` VALUES ", 0  # noqa: S608 - a file, no database
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write(f"-- MySQL dump 10.19\n\nDROP TABLE IF EXISTS `{table}`;\nCREATE TABLE `{table}` (\n  ")
        f.write(
            COLUMNS[table].replace(",`", ",\n  `").replace(",PRIMARY", ",\n  PRIMARY")
            + "\n) ENGINE=InnoDB;\n\n"
        )
        line, size = [], 0
        for row in rows:
            line.append(row)
            size += len(row) + 1
            count += 1
            if size >= LINE_BYTES:
                f.write(insert + ",".join(line) + ";\n")
                line, size = [], 0
        if line:
            f.write(insert + ",".join(line) + ";\n")
        f.write("-- Dump completed on 2026-01-01  3:14:15\n")
    return count


def title_of(i: int) -> str:
    """A title as SQL text; a few hold what parsers trip over."""
    text = f"{WORDS[i % 16].capitalize()}_{WORDS[i // 16 % 16]}_{i}"
    return text + ("_(O\\'Hara),(x)" if i % 50 == 0 else "_a\\\\b" if i % 171 == 0 else "")


def make_dumps(folder: Path, articles: int, seed: int = 0) -> dict[str, int]:
    """All six tables; what the counts of the join must be."""
    rng = np.random.default_rng(seed)
    redirects, categories = articles // 2, articles // 20
    pages = articles + redirects + categories
    stamp = "20251231120000"
    kind = np.repeat([0, 1, 2], [articles, redirects, categories])
    space = np.where(kind == 2, 14, 0)

    write_table(folder, "page", (
        f"({i + 10},{space[i]},'{title_of(i)}',{int(kind[i] == 1)},0,0.{i * 7919 % 10**12:012d},'{stamp}','{stamp}',{i + 999},{i % 90000},'wikitext',NULL)"
        for i in range(pages)
    ))  # fmt: skip
    red = articles // 4
    write_table(folder, "linktarget", (
        f"({3 * i + 7},{space[i] if i < pages else 0},'{title_of(i)}')" for i in range(pages + red)
    ))  # fmt: skip
    per_page = 25
    target = (articles * rng.random((articles, per_page)) ** 2).astype(np.int64)
    odd = rng.random((articles, per_page))
    target[odd < 0.1] = articles + rng.integers(0, redirects, int((odd < 0.1).sum()))
    target[odd > 0.85] = pages + rng.integers(0, red, int((odd > 0.85).sum()))
    lists = target.tolist()
    links = write_table(folder, "pagelinks", (
        f"({i + 10},0,{3 * t + 7})" for i in range(articles) for t in lists[i]
    ))  # fmt: skip
    to = rng.integers(0, articles, redirects).tolist()
    write_table(folder, "redirect", (
        f"({articles + i + 10},0,'{title_of(t)}','','{'History' if i % 9 == 0 else ''}')" for i, t in enumerate(to)
    ))  # fmt: skip
    write_table(folder, "page_props", (
        row for i in range(articles) for row in (
            f"({i + 10},'wikibase_item','Q{i + 1}',NULL)",
            f"({i + 10},'page_image_free','{title_of(i)}.jpg',NULL)",
            f"({i + 10},'wikibase-shortdesc','{WORDS[i % 16]} in {WORDS[i % 7]}',NULL)",
        )
    ))  # fmt: skip
    member = rng.integers(0, categories, (articles, 4)).tolist()
    memberships = write_table(folder, "categorylinks", (
        f"({i + 10},'{title_of(i).upper()}\\n\\\\\\0','2025-01-01 00:00:00','','page',1,{3 * (articles + redirects + c) + 7})"
        for i in range(articles) for c in member[i]
    ))  # fmt: skip
    through = int(((target >= articles) & (target < pages)).sum())
    redness = int((target >= pages).sum())
    return {
        "pages": pages,
        "articles": articles,
        "links": links,
        "links_red": redness,
        "links_through_redirects": through,
        "links_direct": links - through - redness,
        "memberships": memberships,
    }


def step_parse(folder: str) -> dict:
    from zcurate.graph.sql_table import SqlTable

    def read(table: str) -> int:
        source = SqlTable(Path(folder) / f"enwiki-20260101-{table}.sql", table)
        for _ in source.batches(*READ[table]):
            pass
        return source.stats.sql_bytes

    read("redirect")  # compiles
    found, total, cpu, wall = {}, 0, 0.0, 0.0
    for table in READ:
        began, clock = time.process_time(), time.perf_counter()
        size = read(table)
        spent = time.process_time() - began
        wall += time.perf_counter() - clock
        total, cpu = total + size, cpu + spent
        found[table] = size / spent / 1e6
    row = re.compile(rb"\((\d+),(-?\d+),'((?:[^'\\]|\\.)*)'")
    data = (Path(folder) / "enwiki-20260101-page.sql").read_bytes()[: 32 << 20]
    began = time.process_time()
    sum(1 for _ in row.finditer(data))
    return {
        "sql_mb": total / 1e6,
        "mb_per_cpu_s": total / cpu / 1e6,
        "mb_per_wall_s": total / wall / 1e6,
        "by_table": found,
        "regex_mb_per_cpu_s": len(data) / (time.process_time() - began) / 1e6,
    }


def step_join(folder: str, expected: str) -> dict:
    from zcurate.graph.wiki import read_wiki

    clock = time.perf_counter()
    counts = read_wiki(folder, "en").counts
    seconds = time.perf_counter() - clock
    wrong = {k: (counts[k], v) for k, v in json.loads(expected).items() if counts[k] != v}
    assert not wrong, f"counts differ from what was written: {wrong}"
    return {"seconds": seconds}


def make_edges(n: int, edges: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(source, target) int32 in random order of nodes: communities, hubs within and outside them."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(n).astype(np.int32)
    source, target = np.empty(edges, np.int32), np.empty(edges, np.int32)
    for first in range(0, edges, 1 << 22):
        m = min(1 << 22, edges - first)
        s = rng.integers(0, n, m)
        size = 200 + 37 * (s // 4096 % 29)  # 200 to 1,236 nodes
        near = s // size * size + (size * rng.random(m) ** 2).astype(np.int64)
        far = (n * rng.random(m) ** 3).astype(np.int64)
        t = np.minimum(np.where(rng.random(m) < 0.9, near, far), n - 1)
        source[first : first + m], target[first : first + m] = label[s], label[t]
    return source, target


def step_pagerank(nodes: str, edges: str, peers: str) -> dict:
    from zcurate.graph import csr
    from zcurate.graph.pagerank import pagerank

    pagerank(*csr.from_pairs(np.array([0, 1]), np.array([1, 2]), 3))  # compiles
    n = int(nodes)
    # About one drawn edge in twenty repeats another.
    source, target = make_edges(n, int(1.055 * int(edges)))
    csr.from_pairs(source[:9], target[:9], n)  # compiles for int32
    began = time.perf_counter()
    indptr, indices = csr.from_pairs(source, target, n)
    found = {"edges": len(indices), "csr_seconds": time.perf_counter() - began}
    if peers != "yes":
        del source, target
    began, cpu = time.perf_counter(), time.process_time()
    ours = pagerank(indptr, indices)
    found |= {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    found |= {"iterations": ours.iterations, "change": ours.change}
    if peers == "yes":
        from scipy.sparse import csr_array

        began = time.perf_counter()
        degree = np.diff(indptr)
        flow = csr_array((np.repeat(1 / np.maximum(degree, 1), degree), indices, indptr), (n, n)).T.tocsr()
        x, change, steps = np.full(n, 1 / n), 1.0, 0
        while change >= 1e-9:
            new = 0.15 / n + 0.85 * (flow @ x + x[degree == 0].sum() / n)
            change, x, steps = float(np.abs(new - x).sum()), new, steps + 1
        found |= {"scipy_seconds": time.perf_counter() - began, "scipy_iterations": steps}
        found["difference"] = float(np.abs(x - ours.scores).max())
    return found


def step_networkx(nodes: str, edges: str) -> dict:
    import networkx as nx

    from zcurate.graph import csr
    from zcurate.graph.pagerank import pagerank

    n = int(nodes)
    source, target = make_edges(n, int(edges))
    ours = pagerank(*csr.from_pairs(source, target, n))
    graph = nx.DiGraph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(zip(source.tolist(), target.tolist(), strict=True))
    began = time.perf_counter()
    theirs = nx.pagerank(graph, tol=1e-9 / n, max_iter=1000)
    seconds = time.perf_counter() - began
    difference = max(abs(theirs[i] - float(ours.scores[i])) for i in range(n))
    return {"edges": graph.number_of_edges(), "seconds": seconds, "difference": difference}


def apart(step: str, *arguments: object) -> dict:
    """Run a step in a process of its own; its result and `peak_rss_gb`."""
    command = [sys.executable, __file__, "--step", step, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--articles", type=int, default=200_000, help="articles of the synthetic dump")
    parser.add_argument("--edges", type=int, default=20_000_000, help="edges of the PageRank graph")
    parser.add_argument("--full", action="store_true", help="also 7M nodes and 200M edges (needs 6 GB)")
    parser.add_argument("--repeats", type=int, default=3, help="PageRank runs; the median counts")
    parser.add_argument("--quick", action="store_true", help="small everything, under a minute")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        result = globals()[f"step_{options.step[0]}"](*options.step[1:])
        result["peak_rss_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps(result))
        return
    articles, edges, repeats = options.articles, options.edges, options.repeats
    if options.quick:
        articles, edges, repeats = 20_000, 2_000_000, 1
    print(f"cores: {len(os.sched_getaffinity(0))}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        expected = make_dumps(Path(folder), articles)
        parse = apart("parse", folder)
        tables = ", ".join(f"{t} {v:.0f}" for t, v in parse["by_table"].items())
        print(
            f"parse: {parse['sql_mb']:.0f} MB of SQL, {parse['mb_per_cpu_s']:.0f} MB/s per core "
            f"({parse['mb_per_wall_s']:.0f} by the clock; {tables}); a regular expression: {parse['regex_mb_per_cpu_s']:.0f}"
        )
        join = apart("join", folder, json.dumps(expected))
        print(
            f"join: {expected['links']:,} links and {expected['memberships']:,} memberships of {expected['pages']:,} pages in "
            f"{join['seconds']:.1f} s with {join['peak_rss_gb']:.2f} GB; counts as written"
        )
    nodes = int(edges / PER_NODE)
    runs = [apart("pagerank", nodes, edges, "yes" if i == 0 else "no") for i in range(repeats)]
    first, seconds = runs[0], float(np.median([r["seconds"] for r in runs]))
    print(
        f"PageRank: {nodes:,} nodes, {first['edges']:,} edges: {seconds:.2f} s ({first['cpu_seconds']:.2f} CPU s), {first['iterations']} "
        f"iterations to L1 < 1e-9; SciPy {first['scipy_seconds']:.2f} s, {first['scipy_iterations']} iterations, largest difference {first['difference']:.1e}"
    )
    small = apart("networkx", nodes // 8, edges // 8)
    print(
        f"NetworkX on {small['edges']:,} edges: {small['seconds']:.1f} s, largest difference {small['difference']:.1e}"
    )
    peak = max([join["peak_rss_gb"], *(r["peak_rss_gb"] for r in runs)])
    result = {
        "sql_mb_per_s": parse["mb_per_cpu_s"],
        "sql_mb_per_wall_s": parse["mb_per_wall_s"],
        "regex_mb_per_s": parse["regex_mb_per_cpu_s"],
        "join_s": join["seconds"],
        "join_links": expected["links"],
        "pagerank_s_20m_edges": seconds if edges == 20_000_000 else None,
        "pagerank_s": seconds,
        "pagerank_edges": first["edges"],
        "pagerank_iterations": first["iterations"],
        "pagerank_cpu_s": first["cpu_seconds"],
        "scipy_s": first["scipy_seconds"],
        "networkx_s": small["seconds"],
        "networkx_difference": small["difference"],
        "peak_rss_gb": peak,
        "full_s": None,
        "full_peak_rss_gb": None,
    }
    if options.full:
        full = apart("pagerank", 7_000_000, 200_000_000, "no")
        print(
            f"full size: {full['edges']:,} edges: ordering them {full['csr_seconds']:.1f} s, PageRank {full['seconds']:.1f} s "
            f"({full['cpu_seconds']:.1f} CPU s, {full['iterations']} iterations), {full['peak_rss_gb']:.2f} GB"
        )
        result |= {"full_s": full["csr_seconds"] + full["seconds"], "full_peak_rss_gb": full["peak_rss_gb"]}
        result["peak_rss_gb"] = max(peak, full["peak_rss_gb"])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
