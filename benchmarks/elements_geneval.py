"""Precision and recall of the rule engine for prompt elements against GenEval's metadata.

GenEval (Ghosh et al. 2023, MIT) states for each of its prompts which objects, counts, colors and positions the
picture must show. The engine sees the prompt alone. Compared are, per tag:

  object    the name of a thing, as a multiset per prompt; the whole name must agree ("parking meter")
  head      its last word only ("potted plant" read as a potted "plant" counts here)
  count     (name, number) of things that come in more than one
  color     (name, color)
  position  (placed thing, relation, other thing)

Peer in the same run: a bag of words that calls every word behind an article or number an object of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from zcurate.captioner.elements import Decomposition, elements
from zcurate.captioner.elements_tokens_en import singular

ASPECTS = ("object", "head", "count", "color", "position")
POSITIONS = {"left of": "left_of", "right of": "right_of", "above": "above", "below": "below"}


def last_word(name: str) -> str:
    return name.split()[-1]


def singular_name(name: str) -> str:
    first, _, last = name.rpartition(" ")
    return f"{first} {singular(last)}".strip()


def truth(entry: dict) -> dict[str, Counter]:
    """What GenEval asks for, by aspect."""
    things = entry["include"]
    names = [singular_name(t["class"]) for t in things]
    found = {a: Counter() for a in ASPECTS}
    for name, thing in zip(names, things, strict=True):
        found["object"][name] += 1
        found["head"][last_word(name)] += 1
        if thing["count"] > 1:
            found["count"][last_word(name), thing["count"]] += 1
        if "color" in thing:
            found["color"][last_word(name), thing["color"]] += 1
        if "position" in thing:
            relation, other = thing["position"]
            found["position"][last_word(name), POSITIONS[relation], last_word(names[other])] += 1
    return found


def read(done: Decomposition) -> dict[str, Counter]:
    """What the engine found, by aspect."""
    found = {a: Counter() for a in ASPECTS}
    for e in done.elements:
        owner = last_word(done[e.parents[0]].name) if e.parents else ""
        if e.kind == "subject":
            found["object"][e.name] += 1
            found["head"][last_word(e.name)] += 1
        elif e.kind == "count" and e.name.isdecimal() and int(e.name) > 1:
            found["count"][owner, int(e.name)] += 1
        elif e.checker == "color":
            found["color"][owner, e.name] += 1
        elif e.kind == "spatial" and e.name in POSITIONS.values():
            ends = [last_word(done[p].name) for p in e.parents]
            found["position"][ends[0], e.name, ends[-1]] += 1
    return found


def bag_of_words(prompt: str) -> Counter:
    words = prompt.split()
    return Counter(
        singular(b)
        for a, b in zip(words, words[1:], strict=False)
        if a in ("a", "an", "two", "three", "four")
    )


def figures(pairs: Iterable[tuple[Counter, Counter]]) -> dict[str, float | int | None]:
    """Micro precision and recall over (truth, found)."""
    hit = wanted = given = 0
    for asked, got in pairs:
        hit += sum((asked & got).values())
        wanted += sum(asked.values())
        given += sum(got.values())
    return {
        "precision": hit / given if given else None,
        "recall": hit / wanted if wanted else None,
        "found": given,
        "asked": wanted,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("metadata", type=Path, help="GenEval's prompts/evaluation_metadata.jsonl")
    parser.add_argument("--quick", action="store_true", help="every fifth prompt")
    parser.add_argument(
        "--misses", type=int, default=0, help="print this many prompts that were read wrongly"
    )
    args = parser.parse_args()
    try:
        entries = [
            json.loads(line) for line in args.metadata.read_text(encoding="utf-8").splitlines() if line
        ]
    except FileNotFoundError:
        sys.exit(f"{args.metadata}: no such file; it is in the repository djghosh13/geneval")
    entries = entries[:: 5 if args.quick else 1]
    start = time.perf_counter()
    done = [elements(e["prompt"]) for e in entries]
    seconds = time.perf_counter() - start
    rows = [(e["tag"], truth(e), read(d)) for e, d in zip(entries, done, strict=True)]
    tags = dict.fromkeys(tag for tag, *_ in rows)
    table = {}
    print(f"{'tag':<16}{'aspect':<10}{'precision':>10}{'recall':>8}{'found':>7}{'asked':>7}")
    for tag in (*tags, "all"):
        for aspect in ASPECTS:
            f = figures((t[aspect], g[aspect]) for name, t, g in rows if tag in (name, "all"))
            if f["found"] or f["asked"]:
                table[f"{tag}.{aspect}"] = f
                shown = [f"{v:.4f}" if v is not None else "-" for v in (f["precision"], f["recall"])]
                print(f"{tag:<16}{aspect:<10}{shown[0]:>10}{shown[1]:>8}{f['found']:>7}{f['asked']:>7}")
    peer = figures((truth(e)["object"], bag_of_words(e["prompt"])) for e in entries)
    print(
        f"bag of words    object    {peer['precision']:>10.4f}{peer['recall']:>8.4f}{peer['found']:>7}{peer['asked']:>7}"
    )
    exact = sum(all(t[a] == g[a] for a in ASPECTS) for _, t, g in rows)
    print(
        f"read exactly: {exact} of {len(rows)} prompts; {seconds / len(rows) * 1e3:.2f} ms a prompt, one process"
    )
    misses = [
        (e["prompt"], g)
        for e, (_, t, g) in zip(entries, rows, strict=True)
        if any(t[a] != g[a] for a in ASPECTS)
    ]
    for prompt, got in misses[: args.misses]:
        print(f"  {prompt!r}: {', '.join(f'{a}={list(got[a])}' for a in ASPECTS if got[a])}")
    print(
        json.dumps(
            {
                "prompts": len(rows),
                "exact_share": exact / len(rows),
                "all": {a: table.get(f"all.{a}") for a in ASPECTS},
                "bag_of_words_object": peer,
                "ms_per_prompt": seconds / len(rows) * 1e3,
            }
        )
    )


if __name__ == "__main__":
    main()
