"""Chinese prompts by rules, against annotations written before the rules were run on them."""

from collections import Counter
from pathlib import Path

import pytest

from zcurate.captioner.elements import elements

LINES = [
    [part.strip() for part in line.split("|")]
    for line in (Path(__file__).parent / "zh_elements.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def items(text):
    return Counter(x.strip() for x in text.split(",") if x.strip())


def truth(line):
    _, subjects, counts, colors, relations, *lettering = line
    return {
        "subject": items(subjects),
        "count": items(counts),
        "color": items(colors),
        "relation": items(relations),
        "text": items(lettering[0] if lettering else ""),
    }


def read(prompt):
    found = elements(prompt)
    out = {k: Counter() for k in ("subject", "count", "color", "relation", "text")}
    for e in found.elements:
        ends = [found[p].name for p in e.parents]
        if e.kind == "subject":
            out["subject"][e.name] += 1
        elif e.kind == "count":
            if e.name.isdecimal():
                out["count"][f"{ends[0]}:{e.name}"] += 1
        elif e.checker == "color":
            out["color"][f"{ends[0]}:{e.name}"] += 1
        elif e.kind == "text":
            out["text"][e.name] += 1
        elif e.kind == "spatial" and len(ends) == 2:
            out["relation"][f"{ends[0]} {e.name} {ends[1]}"] += 1
    return out


def figures(kind):
    hit = asked = given = 0
    for line in LINES:
        wanted, got = truth(line)[kind], read(line[0])[kind]
        hit += sum((wanted & got).values())
        asked += sum(wanted.values())
        given += sum(got.values())
    return hit / given, hit / asked


def test_the_set_is_large_enough():
    assert len(LINES) == 60


@pytest.mark.parametrize(
    ("kind", "precision", "recall"),
    [
        ("subject", 0.8, 0.8),
        ("count", 0.9, 0.9),
        ("color", 0.9, 0.9),
        ("relation", 0.75, 0.75),
        ("text", 1.0, 1.0),
    ],
)
def test_precision_and_recall(kind, precision, recall):
    found = figures(kind)
    assert found[0] >= precision, found
    assert found[1] >= recall, found


@pytest.mark.parametrize("prompt", [line[0] for line in LINES])
def test_every_element_stands_in_the_prompt(prompt):
    for e in elements(prompt).elements:
        assert prompt[e.start : e.end].strip() == e.text.strip()
