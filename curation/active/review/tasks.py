"""Tasks: one proposal each, about one sample or one edit pair, under an id that is a hash of what is proposed."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from ...errors import DatasetError

FORMAT = 1
CAPTION, PAIR = "caption", "pair"
#: Fields of each kind in the order in which they are shown; lists of strings end in `tags`.
FIELDS: dict[str, tuple[str, ...]] = {
    CAPTION: tuple(f"{lang}_{kind}" for lang in ("en", "zh") for kind in ("long", "medium", "short", "tags")),
    PAIR: tuple(f"{lang}_{kind}" for lang in ("en", "zh") for kind in ("short", "long")),
}
#: Roles of pictures: `image` of a sample; `source` (one to four) and `target` of a pair.
ROLES = ("image", "source", "target")

Text = str | tuple[str, ...]


@dataclass(frozen=True)
class Element:
    """Something the picture must show, to be clicked where it does not.

    Attributes:
        id: unique within the task.
        text: as the caption words it; `no ...` of what must be absent.
        kind: subject, attribute, count, text, action, spatial, style; of pairs: instruction, rest, look.
        parents: ids of what it depends on.
        words: the same in words that stand by themselves, for training (`reward.claims.worded`); "" where nobody knows.
        negated: must be absent; `words` then say what.
    """

    id: str
    text: str
    kind: str
    parents: tuple[str, ...] = ()
    words: str = ""
    negated: bool = False


@dataclass(frozen=True)
class Picture:
    """What is shown. `ref` says to whoever reads pictures which one; `content_id`: hash of its bytes, hex."""

    role: str
    ref: str
    content_id: str
    width_px: int = 0
    height_px: int = 0


@dataclass(frozen=True)
class Task:
    """One proposal.

    Attributes:
        kind: CAPTION or PAIR.
        subject: sample id (32 hex digits) or pair id.
        pictures: in the order shown.
        fields: name of FIELDS -> proposed text; of tags, a tuple. Absent ones are not shown.
        elements: parents before children.
        proposer: engine and model that wrote the fields.
        context: JSON-able facts shown or filtered by, which are no part of the proposal: scores, source, key, ...
        rank: order in the queue, smallest first.
    """

    kind: str
    subject: str
    pictures: tuple[Picture, ...]
    fields: Mapping[str, Text]
    elements: tuple[Element, ...] = ()
    proposer: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    rank: float = 0.0

    def __post_init__(self) -> None:
        """Raises DatasetError naming what does not hold together."""
        if self.kind not in FIELDS:
            raise DatasetError(
                f"task about {self.subject!r}: kind {self.kind!r} is not {' or '.join(FIELDS)}"
            )
        for name, value in self.fields.items():
            if name not in FIELDS[self.kind]:
                raise DatasetError(f"task about {self.subject!r}: a {self.kind} has no field {name!r}")
            if isinstance(value, str) == is_list(name):
                raise DatasetError(
                    f"task about {self.subject!r}: {name} must be a {'list' if is_list(name) else 'text'}"
                )
        ids = [e.id for e in self.elements]
        if len(set(ids)) < len(ids):
            raise DatasetError(f"task about {self.subject!r}: two elements have one id")
        if not self.pictures or any(p.role not in ROLES for p in self.pictures):
            raise DatasetError(
                f"task about {self.subject!r}: pictures must have a role of {', '.join(ROLES)}"
            )

    @cached_property
    def id(self) -> str:
        """32 hex digits of the hash of what is proposed: equal for the same proposal, whenever it is built."""
        content = [
            *(FORMAT, self.kind, self.subject, [[p.role, p.content_id] for p in self.pictures]),
            sorted((k, v if isinstance(v, str) else list(v)) for k, v in self.fields.items()),
            [[e.id, e.text, e.kind, list(e.parents)] for e in self.elements],
            self.proposer,
        ]
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(lang for lang in ("en", "zh") if any(f.startswith(f"{lang}_") for f in self.fields))

    @property
    def searchable(self) -> str:
        """Folded texts that a filter looks into."""
        parts = [self.subject, str(self.context.get("source", "")), str(self.context.get("key", ""))]
        for value in self.fields.values():
            parts += [value] if isinstance(value, str) else value
        return fold(" ".join(parts))

    def to_json(self) -> str:
        """Exact: `from_json` gives an equal task."""
        return json.dumps(asdict(self), ensure_ascii=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | Mapping[str, Any]) -> Task:
        """Raises DatasetError for what is not a task; unknown members are refused, not dropped."""
        try:
            raw = dict(json.loads(text) if isinstance(text, str) else text)
            raw["pictures"] = tuple(Picture(**p) for p in raw["pictures"])
            elements = [{**e, "parents": tuple(e["parents"])} for e in raw.get("elements", ())]
            raw["elements"] = tuple(Element(**e) for e in elements)
            raw["fields"] = {k: v if isinstance(v, str) else tuple(v) for k, v in raw["fields"].items()}
            return cls(**raw)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as e:
            raise DatasetError(f"not a review task: {type(e).__name__} {e}") from e


def is_list(name: str) -> bool:
    """Does a field of this name hold a list of strings?"""
    return name.endswith("_tags")


def fold(text: str) -> str:
    """NFKC, case-folded, blanks collapsed: how texts are compared by filters."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def shown(value: Text) -> str:
    """How a field stands in its text box: tags separated by commas, or one a line where a tag holds a comma."""
    if isinstance(value, str):
        return value
    return ("\n" if any(set(t) & set(",，、") for t in value) else ", ").join(value)


def as_typed(text: str) -> str:
    """What a browser makes of a text on its way through a text box and back: line ends, and no NUL."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "�")


def parse_tags(text: str) -> tuple[str, ...]:
    """Tags as typed: one a line, else separated by commas (of either language); empty and repeated ones go."""
    text = as_typed(text)
    for comma in () if "\n" in text.strip() else "，、":
        text = text.replace(comma, ",")
    parts = text.split("\n") if "\n" in text.strip() else text.split(",")
    return tuple(dict.fromkeys(p.strip() for p in parts if p.strip()))


def changed_fields(proposed: Mapping[str, Text], typed: Mapping[str, str]) -> dict[str, Text]:
    """The fields that somebody really changed; a text that only went through a browser is not changed."""
    found: dict[str, Text] = {}
    for name, old in proposed.items():
        text = as_typed(typed.get(name, as_typed(shown(old))))
        if text == as_typed(shown(old)):
            continue
        new: Text = parse_tags(text) if is_list(name) else text.strip()
        if new != old:
            found[name] = new
    return found


def hidden_characters(texts: Sequence[Text]) -> int:
    """Characters that show nothing or reorder what is around them (Unicode category Cf, and controls)."""
    joined = "".join(t if isinstance(t, str) else "".join(t) for t in texts)
    return sum(unicodedata.category(c) in ("Cf", "Cc") and c not in "\n\r\t\u200c\u200d" for c in joined)
