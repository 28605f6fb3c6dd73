"""The algebra of edits: a picture is a state, an edit is the difference of two states.

A state maps slots (`photometric/brightness`, `object/2`, `text/0`, ...) to JSON values; a slot that is absent has its
neutral value: the picture as it came. A renderer of a group of pictures is a function of the state alone, so the spec
of a pair, however it was composed, turns the source into the target pixel for pixel.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

#: A JSON value: None, bool, int, float, str, list, dict. None in a slot is its neutral value.
Value = Any
State = Mapping[str, Value]


class ConflictError(ValueError):
    """Two edits do not fit together; the message names the slot and both values."""


@dataclass(frozen=True)
class Change:
    """One slot, before and after. `before` and `after` differ; None is the slot's neutral value."""

    slot: str
    before: Value
    after: Value

    def inverse(self) -> Change:
        return Change(self.slot, self.after, self.before)


@dataclass(frozen=True)
class EditSpec:
    """What was done, exactly: at most one change per slot, in the order in which the instruction names them.

    Two specs are equal when they do the same, whatever their order (`order` tells them apart).
    """

    changes: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        slots = [c.slot for c in self.changes]
        for slot in slots:
            if slots.count(slot) > 1:
                raise ConflictError(f"slot {slot!r} is changed twice; compose the changes into one")
        for change in self.changes:
            if _same(change.before, change.after):
                raise ConflictError(f"slot {change.slot!r}: before and after are both {change.before!r}")

    @property
    def order(self) -> tuple[str, ...]:
        return tuple(c.slot for c in self.changes)

    def inverse(self) -> EditSpec:
        """The way back: every change swapped, in reverse order. The inverse of the inverse is the spec itself."""
        return EditSpec(tuple(c.inverse() for c in reversed(self.changes)))

    def then(self, other: EditSpec) -> EditSpec:
        """This edit followed by another, as one edit; what cancels is gone.

        Raises:
            ConflictError: `other` starts from a value that this edit does not leave.
        """
        joined = {c.slot: c for c in self.changes}
        for change in other.changes:
            first = joined.get(change.slot)
            if first is None:
                joined[change.slot] = change
                continue
            if canonical(first.after) != canonical(change.before):
                raise ConflictError(
                    f"slot {change.slot!r} is left at {first.after!r}, and the next edit starts at {change.before!r}"
                )
            del joined[change.slot]  # what is changed again is named where it was changed last
            if canonical(first.before) != canonical(change.after):
                joined[change.slot] = Change(change.slot, first.before, change.after)
        return EditSpec(tuple(joined.values()))

    def apply(self, state: State) -> State:
        """The state after the edit.

        Raises:
            ConflictError: the state is not one the edit starts from.
        """
        result = dict(state)
        for change in self.changes:
            if canonical(result.get(change.slot)) != canonical(change.before):
                raise ConflictError(
                    f"slot {change.slot!r} is {result.get(change.slot)!r}, and the edit starts at {change.before!r}"
                )
            if change.after is None:
                del result[change.slot]
            else:
                result[change.slot] = change.after
        return MappingProxyType(result)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EditSpec) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> frozenset[tuple[str, str, str]]:
        return frozenset((c.slot, canonical(c.before), canonical(c.after)) for c in self.changes)

    def to_json(self) -> str:
        changes = [{"slot": c.slot, "before": c.before, "after": c.after} for c in self.changes]
        return json.dumps({"changes": changes}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> EditSpec:
        """Raises ValueError for what `to_json` cannot have written."""
        try:
            found = json.loads(text)["changes"]
            return EditSpec(tuple(Change(str(c["slot"]), c["before"], c["after"]) for c in found))
        except (KeyError, TypeError) as e:
            raise ValueError(f"not an edit spec: {text[:200]!r} ({e!r})") from e


def between(source: State, target: State, order: Iterable[str] = ()) -> EditSpec:
    """The edit from one state to another; slots are named in `order`, then by name."""
    wanted = list(dict.fromkeys(order))
    slots = [s for s in wanted if s in source or s in target]
    slots += sorted((set(source) | set(target)) - set(slots))
    changes = (Change(s, source.get(s), target.get(s)) for s in slots)
    return EditSpec(tuple(c for c in changes if not _same(c.before, c.after)))


def state_key(state: State) -> str:
    """sha256 (hex) of a state: equal states have equal keys."""
    return hashlib.sha256(canonical({k: v for k, v in state.items() if v is not None}).encode()).hexdigest()


def canonical(value: Value) -> str:
    """One string per JSON value; 1 and 1.0 are the same number."""
    return json.dumps(_numbers(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _same(a: Value, b: Value) -> bool:
    """Whether two values are one; most that are, are the same object."""
    if a is b:
        return True
    if a is None or b is None:
        return False
    return canonical(a) == canonical(b)


def _numbers(value: Value) -> Value:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if kind is dict or isinstance(value, Mapping):
        return {str(k): _numbers(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(v) for v in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
