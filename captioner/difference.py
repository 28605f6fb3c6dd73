"""What differs between two pictures, and how that is said as an instruction: records, inverse, Arrow type.

Three steps are kept (section 3.3 of the Z-Image report): a caption of each picture, a typed list of differences,
one concise instruction per language. The way back is the inverse of the list, so both directions tell of the same
differences by construction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

SCHEMA_VERSION = 1

#: What a difference can be. `text` is lettering, `pixel` what concerns no thing in the picture (blur, noise, exposure).
KINDS = (
    *("subject", "add", "remove", "replace", "attribute"),
    *("text", "background", "style", "camera", "pixel"),
)
_INVERSE = {"add": "remove", "remove": "add"}


class DifferenceError(ValueError):
    """A pair cannot be described. `reason` is `no_spec`: rules alone cannot tell what differs; or `bad_spec`."""

    REASONS = ("no_spec", "bad_spec")

    def __init__(self, reason: str, message: str):
        if reason not in self.REASONS:
            raise ValueError(f"unknown reason {reason!r}; there are {', '.join(self.REASONS)}")
        super().__init__(f"{reason}: {message}")
        self.reason = reason


@dataclass(frozen=True)
class Difference:
    """One difference.

    Attributes:
        kind: one of KINDS.
        what: the thing or property it concerns ("the car", "sky color", "title").
        before, after: as it is in the source and in the target; "" where it is absent. For `text` the exact strings.
    """

    kind: str
    what: str
    before: str
    after: str

    def inverse(self) -> Difference:
        """The same difference seen from the target."""
        return Difference(_INVERSE.get(self.kind, self.kind), self.what, self.after, self.before)

    def row(self) -> dict[str, str]:
        return {"kind": self.kind, "what": self.what, "before": self.before, "after": self.after}


@dataclass(frozen=True)
class Instruction:
    """What to do, in both languages, each written for itself."""

    en: str
    zh: str


@dataclass(frozen=True)
class Side:
    """One picture of a pair as it enters the analysis.

    Attributes:
        image: encoded (JPEG, PNG or WebP).
        en, zh: long captions; at least one of them, or both "" when it is yet to be captioned.
        lettering: strings read in it, in reading order.
        reused: the captions were there before.
    """

    image: bytes
    en: str = ""
    zh: str = ""
    lettering: tuple[str, ...] = ()
    reused: bool = False

    @property
    def captioned(self) -> bool:
        return bool(self.en or self.zh)

    def row(self) -> dict[str, Any]:
        """All but the picture itself."""
        return {"en": self.en, "zh": self.zh, "lettering": list(self.lettering), "reused": self.reused}


@dataclass(frozen=True)
class PairCaption:
    """All three steps for a pair.

    Attributes:
        source, target: what was known of each picture.
        unchanged: what stays the same, in a sentence; "" where nobody said.
        differences: from source to target; empty when nothing differs.
        forward, backward: source to target and back; None when nothing differs.
        engine, model: who wrote it. `exact`: derived from the pair's own edit specification, not from looking.
        prompts: name -> sha of the prompts used.
        warnings: what was odd and let pass.
        attempts, tokens_in, tokens_out: over analysis and instructions; tokens None where the engine does not say.
    """

    source: Side
    target: Side
    unchanged: str
    differences: tuple[Difference, ...]
    forward: Instruction | None
    backward: Instruction | None
    engine: str
    model: str
    exact: bool = False
    prompts: Mapping[str, str] | None = None
    warnings: tuple[str, ...] = ()
    attempts: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def no_op(self) -> bool:
        """Whether the two pictures show the same."""
        return not self.differences

    def inverse(self) -> PairCaption:
        """The pair with source and target exchanged. Its inverse is the pair itself."""
        return replace(
            self,
            source=self.target,
            target=self.source,
            differences=inverse(self.differences),
            forward=self.backward,
            backward=self.forward,
        )

    def row(self) -> dict[str, Any]:
        """Values of `ARROW_TYPE`."""
        spoken = {
            name: None if said is None else {"en": said.en, "zh": said.zh}
            for name, said in (("forward", self.forward), ("backward", self.backward))
        }
        return {
            "source": self.source.row(),
            "target": self.target.row(),
            "unchanged": self.unchanged,
            "differences": [d.row() for d in self.differences],
            **spoken,
            "no_op": self.no_op,
            "exact": self.exact,
            "engine": self.engine,
            "model": self.model,
            "prompts": [{"name": k, "sha": v} for k, v in sorted((self.prompts or {}).items())],
            "warnings": list(self.warnings),
            "attempts": self.attempts,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "schema_version": self.schema_version,
        }


def inverse(differences: tuple[Difference, ...]) -> tuple[Difference, ...]:
    """Every difference seen from the other side, in the same order (nothing is done in sequence here)."""
    return tuple(d.inverse() for d in differences)


def _field(name: str, type_: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, type_, metadata={"meaning": meaning})


_TEXTS = pa.list_(pa.string())
_SIDE = pa.struct(
    [
        _field("en", pa.string(), "long English caption"),
        _field("zh", pa.string(), "long Chinese caption"),
        _field("lettering", _TEXTS, "strings read in the picture, in reading order"),
        _field("reused", pa.bool_(), "captions were there before the pair was described"),
    ]
)
_SPOKEN = pa.struct([pa.field("en", pa.string()), pa.field("zh", pa.string())])
_DIFFERENCE = pa.struct([pa.field(n, pa.string()) for n in ("kind", "what", "before", "after")])
_PROMPT = pa.struct([pa.field("name", pa.string()), pa.field("sha", pa.string())])

#: One pair with all three steps.
ARROW_TYPE = pa.struct(
    [
        _field("source", _SIDE, "step 1: caption of the source"),
        _field("target", _SIDE, "step 1: caption of the target"),
        _field("unchanged", pa.string(), "step 2: what stays the same"),
        _field("differences", pa.list_(_DIFFERENCE), "step 2: typed differences from source to target"),
        _field("forward", _SPOKEN, "step 3: instruction that leads from source to target"),
        _field("backward", _SPOKEN, "step 3: instruction that leads back"),
        _field("no_op", pa.bool_(), "nothing differs; there are no instructions"),
        _field("exact", pa.bool_(), "derived from the edit's own specification"),
        _field("engine", pa.string(), "engine"),
        _field("model", pa.string(), "model behind the engine, with revision"),
        _field("prompts", pa.list_(_PROMPT), "prompts used, with their hashes"),
        _field("warnings", _TEXTS, "what was odd and let pass"),
        _field("attempts", pa.int32(), "answers drawn for analysis and instructions"),
        _field("tokens_in", pa.int64(), "tokens read, as the engine counts them"),
        _field("tokens_out", pa.int64(), "tokens written"),
        _field("schema_version", pa.int32(), "version of this record"),
    ]
)
