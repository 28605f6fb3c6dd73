"""Semantic tags and fitness for a general audience, in one question to a model: objects, people, culture, NSFW."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from . import packs
from .answers import AnswerError
from .asking import Asked, ask_json
from .chat import Chat, ChatRequest, ImagePart, Sampling
from .fencing import plain
from .schema import fold

NSFW_KINDS = ("safe", "suggestive", "nudity", "explicit", "gore")
MAX_OBJECTS = 40
MAX_CULTURE = 12
MAX_PEOPLE = 10_000
MAX_TAG_CHARS = 60

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "objects": {
            "type": "array",
            "items": {"type": "string", "maxLength": MAX_TAG_CHARS},
            "maxItems": MAX_OBJECTS,
        },
        "people": {"type": "integer", "minimum": 0, "maximum": MAX_PEOPLE},
        "culture": {
            "type": "array",
            "maxItems": MAX_CULTURE,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": MAX_TAG_CHARS},
                    "english": {"type": "string", "maxLength": MAX_TAG_CHARS},
                    "culture": {"type": "string", "maxLength": MAX_TAG_CHARS},
                },
                "required": ["name", "english", "culture"],
                "additionalProperties": False,
            },
        },
        "nsfw_kind": {"type": "string", "enum": list(NSFW_KINDS)},
        "nsfw": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["objects", "people", "culture", "nsfw_kind", "nsfw"],
    "additionalProperties": False,
}

_CONCEPT = pa.struct([("name", pa.string()), ("english", pa.string()), ("culture", pa.string())])


def _field(name: str, type_: pa.DataType, meaning: str, unit: str = "") -> pa.Field:
    return pa.field(name, type_, metadata={"meaning": meaning} | ({"unit": unit} if unit else {}))


ARROW_SCHEMA = pa.schema(
    [
        _field("objects", pa.list_(pa.string()), "things seen, most prominent first; English, singular"),
        _field("people", pa.int16(), "people seen, an estimate in crowds"),
        _field(
            "culture",
            pa.list_(_CONCEPT),
            "concepts of a particular culture, with their own and English names",
        ),
        _field("nsfw", pa.float32(), "unfit for a general audience, by the model's own word", "0..1"),
        _field("nsfw_kind", pa.string(), ", ".join(NSFW_KINDS)),
        _field("engine", pa.string(), "what was asked"),
        _field("model", pa.string(), "model behind the engine, with revision"),
        _field("prompt_sha", pa.string(), "sha256 of the prompt pack"),
        _field("attempts", pa.int16(), "answers drawn"),
    ]
)


@dataclass(frozen=True)
class Concept:
    """A concept of a particular culture."""

    name: str
    english: str
    culture: str


@dataclass(frozen=True)
class Tags:
    """What a model sees in a picture; see ARROW_SCHEMA."""

    objects: tuple[str, ...]
    people: int
    culture: tuple[Concept, ...]
    nsfw: float
    nsfw_kind: str

    def row(self) -> dict[str, Any]:
        return vars(self) | {"objects": list(self.objects), "culture": [dict(vars(c)) for c in self.culture]}


class Tagger:
    """Asks a Chat for the tags of pictures. May be used by many tasks of one event loop at once."""

    def __init__(self, chat: Chat, family: str = "auto", tries: int = 3, directory: str | None = None):
        self._chat, self._tries = chat, tries
        self.pack = packs.load(
            "tagging", packs.family_of(chat.model) if family == "auto" else family, directory
        )

    async def tags(self, image: bytes) -> tuple[Tags, Asked]:
        """Tags of an encoded picture (JPEG, PNG or WebP). Raises AnswerError or ChatError."""
        request = ChatRequest(
            self.pack.system,
            (ImagePart(image), self.pack.fill()),
            schema=SCHEMA,
            schema_name="picture_tags",
            max_tokens=1024,
            sampling=Sampling(temperature=0.0, seed=0),
        )
        return await ask_json(self._chat, request, checked, self._tries)


def checked(found: dict[str, Any]) -> Tags:
    """Tags of a parsed answer. Raises AnswerError."""
    people, nsfw, kind = found.get("people"), found.get("nsfw"), found.get("nsfw_kind")
    if not isinstance(people, int) or isinstance(people, bool) or not 0 <= people <= MAX_PEOPLE:
        raise AnswerError("schema", f"people must be a whole number from 0 to {MAX_PEOPLE}.", "people")
    if not isinstance(nsfw, int | float) or isinstance(nsfw, bool) or not 0 <= nsfw <= 1:
        raise AnswerError("schema", "nsfw must be a number from 0 to 1.", "nsfw")
    if kind not in NSFW_KINDS:
        raise AnswerError("schema", f"nsfw_kind must be one of {', '.join(NSFW_KINDS)}.", "nsfw_kind")
    if kind != "suggestive" and (nsfw >= 0.5) != (kind != "safe"):
        raise AnswerError("other", f"nsfw_kind {kind} and nsfw {nsfw} contradict each other.", "nsfw")
    objects = _objects(found.get("objects"))
    return Tags(objects, people, _culture(found.get("culture")), float(nsfw), kind)


def _objects(listed: Any) -> tuple[str, ...]:
    if not isinstance(listed, list) or not all(isinstance(x, str) for x in listed):
        raise AnswerError("schema", "objects must be a list of texts.", "objects")
    # Cleaned before comparing: a model repeats itself with other spelling. A sentence is no tag.
    tags = dict.fromkeys(fold(plain(x)) for x in listed)
    return tuple(t for t in tags if 0 < len(t) <= MAX_TAG_CHARS)[:MAX_OBJECTS]


def _culture(listed: Any) -> tuple[Concept, ...]:
    if not isinstance(listed, list) or not all(isinstance(x, dict) for x in listed):
        raise AnswerError("schema", "culture must be a list of objects.", "culture")
    out: dict[Concept, None] = {}
    for entry in listed[:MAX_CULTURE]:
        values = [entry.get(k) for k in ("name", "english", "culture")]
        if not all(isinstance(v, str) for v in values) or not values[0].strip():
            raise AnswerError("schema", "every entry of culture needs name, english and culture.", "culture")
        name, english, culture = (plain(v, MAX_TAG_CHARS) for v in values)
        out[Concept(name, fold(english), fold(culture))] = None
    return tuple(out)
