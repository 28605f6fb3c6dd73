"""Elements of a prompt: what a picture must show to follow it, one checkable claim at a time.

The five classes are those of the Z-Image report, section 4.6.1: core subjects, attributes, actions and interactions,
spatial and compositional constraints, style and rendering. Text and counts are attributes with a checker of their own.
Every element depends on its parents (`red` on `car`): where the parent is missing, the child cannot be satisfied.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

FORMAT_VERSION = 1

KINDS = ("subject", "attribute", "count", "text", "action", "spatial", "style")
#: Kind -> class of the report.
CLASS_OF = {
    **{kind: kind for kind in ("subject", "attribute", "action", "spatial", "style")},
    "count": "attribute",
    "text": "attribute",
}
CLASSES = ("subject", "attribute", "action", "spatial", "style")
CHECKERS = ("ocr", "count", "color", "vlm", "human")

LEVELS = ("simple", "moderate", "complex")
#: Least score of `moderate` and of `complex`; ours, the report gives none.
LEVEL_SCORES = (5.0, 12.0)


class ElementError(ValueError):
    """A decomposition or an annotation that does not hold together; the message names the element."""


@dataclass(frozen=True)
class Element:
    """One claim.

    Attributes:
        id: 16 hex digits of a content hash: the same claim under the same parents has the same id in any prompt,
            whatever stands around it; a claim made twice in one prompt is numbered in the hash.
        kind: one of KINDS.
        name: normalized: a singular noun, an English color or relation name, digits of a count; lettering as it is.
        text: as the prompt words it.
        start, end: where, in characters of the prompt; (-1, -1) where a model paraphrased.
        parents: ids it depends on; of a relation first the one placed or acting, then the other.
        checker: who can check it: `ocr`, `count`, `color`, `vlm` or `human`.
        negated: must be absent.
    """

    id: str
    kind: str
    name: str
    text: str
    start: int
    end: int
    parents: tuple[str, ...]
    checker: str
    negated: bool = False

    @property
    def report_class(self) -> str:
        """One of CLASSES."""
        return CLASS_OF[self.kind]


@dataclass(frozen=True)
class Complexity:
    """How much a prompt asks for, to order a curriculum from simple to complex.

    Attributes:
        elements, subjects, relations: how many; `relations` are actions and places between two subjects.
        text_units: of lettering: words where there are blanks between them, else characters.
        largest_count: largest number of one thing asked for, 0 for none.
        depth: longest chain of parents, 1 for a claim without any.
        score: elements + relations + text_units / 8 + max(0, largest_count - 1) / 2 + (depth - 1).
        level: one of LEVELS, by LEVEL_SCORES.
    """

    elements: int
    subjects: int
    relations: int
    text_units: int
    largest_count: int
    depth: int
    score: float
    level: str


@dataclass(frozen=True)
class Decomposition:
    """All elements of one prompt, parents before children.

    Attributes:
        prompt_id: 16 hex digits of the hash of the prompt (NFC).
        lang: `en` or `zh`, or `other` where no rules fit.
        engine: `rules-VERSION`, or what a model calls itself.
    """

    prompt: str
    prompt_id: str
    lang: str
    engine: str
    elements: tuple[Element, ...]
    complexity: Complexity

    def __getitem__(self, element_id: str) -> Element:
        for element in self.elements:
            if element.id == element_id:
                return element
        raise KeyError(element_id)

    def of_kind(self, kind: str) -> tuple[Element, ...]:
        return tuple(e for e in self.elements if e.kind == kind)

    def row(self) -> dict[str, Any]:
        """Values of ARROW_TYPE; as JSON it is the annotation format."""
        return {
            "format": FORMAT_VERSION,
            "prompt_id": self.prompt_id,
            "prompt": self.prompt,
            "lang": self.lang,
            "engine": self.engine,
            "elements": [
                {**vars(e), "class": e.report_class, "parents": list(e.parents)} for e in self.elements
            ],
            "complexity": dict(vars(self.complexity)),
        }

    def to_json(self) -> str:
        return json.dumps(self.row(), ensure_ascii=False)


_ELEMENT = pa.struct(
    [
        ("id", pa.string()),
        ("kind", pa.string()),
        ("class", pa.string()),
        ("name", pa.string()),
        ("text", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("parents", pa.list_(pa.string())),
        ("checker", pa.string()),
        ("negated", pa.bool_()),
    ]
)
_COMPLEXITY = pa.struct(
    [
        *(
            (n, pa.int32())
            for n in ("elements", "subjects", "relations", "text_units", "largest_count", "depth")
        ),
        ("score", pa.float32()),
        ("level", pa.string()),
    ]
)
#: One decomposition as an Arrow struct.
ARROW_TYPE = pa.struct(
    [
        ("format", pa.int32()),
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("lang", pa.string()),
        ("engine", pa.string()),
        ("elements", pa.list_(_ELEMENT)),
        ("complexity", _COMPLEXITY),
    ]
)


def elements(prompt: str) -> Decomposition:
    """Decompose by rules, English or Chinese by the majority of letters outside quotes; no model.

    What no rule reads is left out, never guessed; quoted text is found in any language.
    """
    from .elements_rules import decompose  # here, because it builds what this module defines

    return decompose(prompt)


def prompt_id(prompt: str) -> str:
    """16 hex digits that stand for a prompt."""
    return hashlib.sha256(unicodedata.normalize("NFC", prompt).encode("utf-8", "surrogatepass")).hexdigest()[
        :16
    ]


def assemble(prompt: str, lang: str, engine: str, claims: Sequence[Element]) -> Decomposition:
    """Give claims their ids and the prompt its complexity.

    Args:
        claims: parents before children. Ids and parents are any unique strings; they are replaced.

    Raises:
        ElementError: unknown kind or checker, a repeated id, or a parent that does not come before its child.
    """
    ids: dict[str, str] = {}
    seen: Counter[str] = Counter()
    done = []
    for claim in claims:
        if claim.kind not in KINDS or claim.checker not in CHECKERS:
            raise ElementError(
                f"element {claim.text!r}: unknown kind {claim.kind!r} or checker {claim.checker!r}"
            )
        if claim.id in ids:
            raise ElementError(f"element {claim.text!r}: id {claim.id!r} repeats")
        missing = [p for p in claim.parents if p not in ids]
        if missing:
            raise ElementError(f"element {claim.text!r}: parent {missing[0]!r} does not come before it")
        parents = tuple(dict.fromkeys(ids[p] for p in claim.parents))
        content = json.dumps([claim.kind, claim.name, parents, claim.negated], ensure_ascii=False)
        seen[content] += 1
        digest = hashlib.sha256(f"{content}#{seen[content]}".encode("utf-8", "surrogatepass")).hexdigest()[
            :16
        ]
        ids[claim.id] = digest
        done.append(replace(claim, id=digest, parents=parents))
    return Decomposition(prompt, prompt_id(prompt), lang, engine, tuple(done), complexity(done))


def complexity(found: Sequence[Element]) -> Complexity:
    depths: dict[str, int] = {}
    for e in found:
        depths[e.id] = 1 + max((depths[p] for p in e.parents), default=0)
    relations = sum(e.kind in ("action", "spatial") and len(e.parents) > 1 for e in found)
    units = sum(text_units(e.name) for e in found if e.kind == "text")
    counts = [int(e.name) for e in found if e.kind == "count" and e.name.isdecimal()]
    largest, depth = max(counts, default=0), max(depths.values(), default=0)
    score = len(found) + relations + units / 8 + min(max(0, largest - 1), 20) / 2 + max(0, depth - 1)
    level = LEVELS[sum(score >= least for least in LEVEL_SCORES)]
    subjects = sum(e.kind == "subject" for e in found)
    return Complexity(len(found), subjects, relations, units, min(largest, 2**31 - 1), depth, score, level)


def text_units(text: str) -> int:
    """Length of lettering: words of alphabets, characters of Chinese, Japanese and Korean."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" and c.isalnum() for c in text)
    narrow = "".join(" " if unicodedata.east_asian_width(c) in "WF" else c for c in text)
    return wide + len(narrow.split())


@dataclass(frozen=True)
class Scores:
    """Shares 0..1; None where there is nothing to score.

    Attributes:
        overall: satisfied / total, the target of the reward in the report.
        by_class: the same per class of CLASSES, classes without elements left out.
        strict: satisfied / total when an element counts only if all it depends on is satisfied too
            (as in Davidsonian Scene Graph, Cho et al. 2024).
        total: elements scored.
    """

    overall: float | None
    by_class: Mapping[str, float]
    strict: float | None
    total: int


def score(found: Decomposition, satisfied: Mapping[str, bool]) -> Scores:
    """Score a picture by which elements it satisfies.

    Args:
        satisfied: element id -> verdict. Elements that are not in it are unscored and count nowhere.

    Raises:
        ElementError: a verdict on an element the prompt does not have.
    """
    known = {e.id: e for e in found.elements}
    unknown = [i for i in satisfied if i not in known]
    if unknown:
        raise ElementError(f"verdict on {unknown[0]!r}, which is no element of prompt {found.prompt_id}")
    groups: dict[str, list[bool]] = {}
    strict: dict[str, bool] = {}
    for e in found.elements:  # parents first
        # An unscored parent cannot fail its children.
        strict[e.id] = satisfied.get(e.id, True) and all(strict[p] for p in e.parents)
        if e.id in satisfied:
            groups.setdefault(e.report_class, []).append(bool(satisfied[e.id]))
    total = len(satisfied)
    if not total:
        return Scores(None, {}, None, 0)
    by_class = {c: sum(groups[c]) / len(groups[c]) for c in CLASSES if c in groups}
    return Scores(
        sum(map(sum, groups.values())) / total, by_class, sum(strict[i] for i in satisfied) / total, total
    )


def from_row(row: Mapping[str, Any]) -> Decomposition:
    """The decomposition of `Decomposition.row`, as JSON or Arrow gives it back; ids are computed anew.

    Raises:
        ElementError: a field is missing or of another type, or ids do not fit the content.
    """
    try:
        claims = [
            Element(
                *(str(e[k]) for k in ("id", "kind", "name", "text")),
                int(e["start"]),
                int(e["end"]),
                tuple(map(str, e["parents"])),
                str(e["checker"]),
                bool(e["negated"]),
            )
            for e in row["elements"]
        ]
        found = assemble(str(row["prompt"]), str(row["lang"]), str(row["engine"]), claims)
    except (KeyError, TypeError, AttributeError) as e:
        raise ElementError(f"not a decomposition: {type(e).__name__} {e}") from e
    for before, after in zip(claims, found.elements, strict=True):
        if before.id != after.id:
            raise ElementError(
                f"element {before.text!r}: id {before.id} does not fit its content ({after.id})"
            )
    return found
