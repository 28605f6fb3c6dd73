"""One probability that a picture was made by a model, from everything that speaks for it."""

from __future__ import annotations

from collections.abc import Sequence

#: From this probability on, a model's opinion is listed as evidence.
_LIKELY = 0.5


def ai_generated(
    declared: bool | None,
    found: Sequence[str] | None,
    origin: str | None,
    head: float | None,
    forensic: float | None,
) -> tuple[float | None, list[str]]:
    """(probability 0..1 or None where nothing speaks, evidence).

    A declaration (the file's own, or the source's `origin: model`) makes it 1. Otherwise a trained head
    decides where there is one, and the forensic classifier where there is none.

    Args:
        declared: the file's metadata says so; None where metadata was not read.
        found: what its metadata says, hints that declare nothing included; passed on as it is.
        origin: of the sample, as its source states it.
        head: probability of a `linear:` head.
        forensic: probability of the forensic classifier on native pixels.
    """
    evidence = list(found or ())
    if origin == "model":
        evidence.append("source: origin is model")
    name, opinion = ("head", head) if head is not None else ("forensic", forensic)
    if opinion is not None and opinion >= _LIKELY:
        evidence.append(f"{name}: {opinion:.2f}")
    if declared or origin == "model":
        return 1.0, evidence
    return opinion, evidence
