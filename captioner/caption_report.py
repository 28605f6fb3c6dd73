"""Measures of captioned rows added up, and which rows a person should look at."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .caption_measures import REFERENCES, RowMeasures
from .lettering import Agreement
from .schema import KINDS, LANGUAGES

#: Widths of the bins in which quantities 0..1 are counted, so that memory does not grow with the rows.
_BINS = 200


@dataclass(frozen=True)
class Thresholds:
    """From where a row is sent to review. None switches a test off.

    Attributes:
        missing_lettering: share of lettering (words and characters) that a long caption does not quote.
        language_leak: strings in a script the picture does not have.
        invented_quotes: quoted strings that nothing supports.
        invented_entities: named things that neither metadata, lettering nor tags have.
        wrong_language, repetition: 1 is any caption of the row.
        subjective: phrases of mood or guess in one long caption.
        tags_not_in_long: share of tags of which the long caption says nothing.
        attempts: answers that had to be drawn.
    """

    missing_lettering: float | None = 0.2
    language_leak: float | None = 1
    invented_quotes: float | None = 1
    invented_entities: float | None = 1
    wrong_language: float | None = 1
    repetition: float | None = 1
    subjective: float | None = 3
    tags_not_in_long: float | None = None
    attempts: float | None = None

    def reasons(self, measures: RowMeasures) -> dict[str, float]:
        """name -> value of every test the row does not pass."""
        found = {}
        for test in fields(self):
            limit = getattr(self, test.name)
            # Lettering is held against truth where it is known; another reader may be wrong itself.
            names = [test.name]
            if test.name == "missing_lettering":
                known = [n for n in ("truth", "ocr_stage") if f"missing_lettering_{n}" in measures.reasons]
                names = [f"missing_lettering_{n}" for n in known[:1]]
            for name in names:
                value = measures.reasons.get(name)
                if limit is not None and value is not None and value >= limit and value > 0:
                    found[test.name] = value
        return found


@dataclass
class Histogram:
    """Counts of a quantity. Whole numbers are counted as they are; fractions in steps of 1/200."""

    counts: Counter[float] = field(default_factory=Counter)

    def add(self, value: float) -> None:
        self.counts[value if isinstance(value, int) else round(value * _BINS) / _BINS] += 1

    def summary(self) -> dict[str, float] | None:
        """Mean, standard deviation and percentiles; None without any."""
        n = self.counts.total()
        if not n:
            return None
        mean = sum(v * c for v, c in self.counts.items()) / n
        spread = math.sqrt(sum(c * (v - mean) ** 2 for v, c in self.counts.items()) / n)
        found: dict[str, float] = {"n": n, "mean": mean, "std": spread}
        ordered = sorted(self.counts.items())
        for name, share in (("min", 0.0), ("p5", 0.05), ("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            rest = max(1, math.ceil(share * n))
            for value, count in ordered:
                rest -= count
                if rest <= 0:
                    found[name] = value
                    break
        return found


@dataclass
class Tally:
    """Rows of one kind (written by a model, or placeholders). Size does not depend on the number of rows."""

    rows: int = 0
    lettering: dict[tuple[str, str, str], Agreement] = field(default_factory=dict)
    shares: dict[str, tuple[int, int]] = field(default_factory=dict)
    lengths: dict[tuple[str, str], Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    values: dict[str, Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    failures: Counter[str] = field(default_factory=Counter)
    finish: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0
    attempts: int = 0

    def add(self, measures: RowMeasures, captions: Mapping[str, Any]) -> None:
        self.rows += 1
        for key, count in measures.lettering.items():
            self.lettering[key] = self.lettering.get(key, Agreement()) + count
        for name, (part, whole) in measures.shares.items():
            a, b = self.shares.get(name, (0, 0))
            self.shares[name] = (a + part, b + whole)
        for key, numbers in measures.lengths.items():
            for number in numbers:
                self.lengths[key].add(number)
        for name, distance in measures.distances.items():
            self.values[f"ordered_distance_{name}"].add(distance)
        for name, samples in measures.values.items():
            for sample in samples:
                self.values[name].add(sample)
        self.failures.update(captions.get("failures") or ())
        self.models[captions.get("model") or ""] += 1
        if captions.get("finish_reason"):
            self.finish[captions["finish_reason"]] += 1
        self.tokens_in += captions.get("tokens_in") or 0
        self.tokens_out += captions.get("tokens_out") or 0
        self.attempts += captions.get("attempts") or 0

    def share(self, name: str) -> float | None:
        part, whole = self.shares.get(name, (0, 0))
        return part / whole if whole else None

    def summary(self) -> dict[str, Any]:
        """Plain values, fit for JSON. Rates are None where nothing could be measured."""
        lettering: dict[str, Any] = {}
        for reference in REFERENCES:
            places = sorted({where for r, where, _ in self.lettering if r == reference})
            if places:
                lettering[reference] = {where: self._agreement(reference, where) for where in places}
        return {
            "rows": self.rows,
            "models": dict(self.models.most_common(5)),
            "lettering": lettering,
            "rates": {name: self.share(name) for name in sorted(self.shares)},
            "counts": {name: list(self.shares[name]) for name in sorted(self.shares)},
            "lengths": {
                code: {
                    kind: self.lengths[code, kind].summary() for kind in KINDS if (code, kind) in self.lengths
                }
                for code in LANGUAGES
            },
            "values": {name: self.values[name].summary() for name in sorted(self.values)},
            "failed_answers": dict(self.failures.most_common()),
            "finish_reasons": dict(self.finish.most_common()),
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "answers": self.attempts,
        }

    def _agreement(self, reference: str, where: str) -> dict[str, Any]:
        found = {}
        for tokens in LANGUAGES:
            count = self.lettering.get((reference, where, tokens), Agreement())
            found[tokens] = {
                "recall": count.recall,
                "precision": count.precision,
                "reference": count.reference,
                "found": count.found,
            }
        return found
