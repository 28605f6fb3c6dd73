"""Training conversations as files: one JSON object a line, in the form that trainers of chat models read.

    FOLDER/train.jsonl, held_out.jsonl      a conversation a line
    FOLDER/images/SHA256.jpg                what the model is shown
    FOLDER/conversations.json               prompts, counts, digest

A line has `messages` (system, user, assistant; content parts of type `text` or `image`), `images` (paths relative to the
folder), `task`, `weight`, `split`, and `provenance`. The assistant's text is the JSON that the captioner asks for.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..chat import ChatRequest, ImagePart

FORMAT = 1
TASKS = ("ocr", "caption", "difference", "instruction")
TRAIN, HELD_OUT = "train", "held_out"
SPLITS = (TRAIN, HELD_OUT)
MANIFEST, IMAGES = "conversations.json", "images"
MAX_LINE_CHARS, MAX_IMAGE_BYTES, MAX_IMAGES = 4 << 20, 64 << 20, 8


class ConversationError(ValueError):
    """A folder or line of conversations cannot be used; the message names file, line and field."""


@dataclass(frozen=True)
class Conversation:
    """One question with the answer to learn.

    Attributes:
        task: what is asked, of TASKS here; other names are scored by loss alone.
        system: with the schema in words, as the `transformers` engine shows it.
        parts: the user's turn: texts, and images as paths relative to the folder.
        answer: of the assistant.
        weight: of its loss, above 0.
        no_loss: top-level fields of the answer whose values nobody has checked; they carry no loss.
        provenance: JSON-able: sample ids, review task, decision, reviewers, who proposed it.
    """

    task: str
    system: str
    parts: tuple[str | ImagePath, ...]
    answer: str
    split: str
    weight: float = 1.0
    no_loss: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> tuple[str, ...]:
        return tuple(p.path for p in self.parts if isinstance(p, ImagePath))

    @property
    def id(self) -> str:
        """32 hex digits of the hash of question and answer."""
        parts = [p if isinstance(p, str) else {"image": p.path} for p in self.parts]
        text = json.dumps([self.task, self.system, parts, self.answer], ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def to_line(self) -> str:
        """JSON without line breaks; `from_line` gives an equal conversation."""
        user = [
            {"type": "text", "text": p} if isinstance(p, str) else {"type": "image", "image": p.path}
            for p in self.parts
        ]
        system = [{"role": "system", "content": [{"type": "text", "text": self.system}]}]
        value = {
            "id": self.id,
            "task": self.task,
            "split": self.split,
            "images": list(self.images),
            "messages": [
                *(system if self.system else ()),
                {"role": "user", "content": user},
                {"role": "assistant", "content": [{"type": "text", "text": self.answer}]},
            ],
            "weight": self.weight,
            "no_loss": list(self.no_loss),
            "provenance": dict(self.provenance),
        }
        return json.dumps(value, ensure_ascii=False)

    def request(self, folder: Path, max_tokens: int = 4096) -> ChatRequest:
        """The question as an engine is asked it. Raises ConversationError for a picture that is not there."""
        parts = tuple(p if isinstance(p, str) else ImagePart(image_bytes(folder, p.path)) for p in self.parts)
        return ChatRequest(self.system, parts, max_tokens=max_tokens)


@dataclass(frozen=True)
class ImagePath:
    """A picture in the user's turn, by its path in the folder."""

    path: str


def from_line(text: str) -> Conversation:
    """Read one line. Unknown members are passed over.

    Raises:
        ConversationError: naming the field.
    """
    if len(text) > MAX_LINE_CHARS:
        raise ConversationError(f"longer than {MAX_LINE_CHARS >> 20} Mi characters")
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as e:
        raise ConversationError("a text holds half a character (a lone surrogate)") from e
    except (ValueError, RecursionError) as e:
        raise ConversationError(f"not JSON ({str(e)[:100]})") from e
    if not isinstance(value, dict):
        raise ConversationError("not a JSON object")
    roles = _messages(value.get("messages"))
    parts = tuple(roles["user"])
    images = [p for p in parts if isinstance(p, ImagePath)]
    if len(images) > MAX_IMAGES:
        raise ConversationError(f"messages: {len(images)} images; at most {MAX_IMAGES} are read")
    for name in ("system", "assistant"):
        if any(isinstance(p, ImagePath) for p in roles[name]):
            raise ConversationError(f"messages: an image in the turn of {name!r}; only the user shows some")
    answer = "".join(p for p in roles["assistant"] if isinstance(p, str))
    if not answer.strip():
        raise ConversationError("messages: the assistant's answer is empty")
    weight = value.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise ConversationError(f"weight {weight!r}: must be a number above 0")
    task, split = value.get("task", "chat"), value.get("split", TRAIN)
    if not isinstance(task, str) or not task.strip() or split not in SPLITS:
        raise ConversationError(
            f"task {task!r} must be a name, and split {split!r} one of {', '.join(SPLITS)}"
        )
    no_loss, provenance = value.get("no_loss") or [], value.get("provenance") or {}
    if not isinstance(no_loss, list) or not all(isinstance(n, str) for n in no_loss):
        raise ConversationError("no_loss: must be a list of names of fields")
    if not isinstance(provenance, dict):
        raise ConversationError("provenance: must be an object")
    # One text for all: there are as many system turns as conversations, and few that differ.
    system = sys.intern("".join(p for p in roles["system"] if isinstance(p, str)))
    return Conversation(task, system, parts, answer, split, float(weight), tuple(no_loss), provenance)


def _messages(value: Any) -> dict[str, list[str | ImagePath]]:
    if not isinstance(value, list) or not all(isinstance(m, dict) for m in value):
        raise ConversationError("messages: must be a list of objects")
    order = [m.get("role") for m in value]
    if order not in (["system", "user", "assistant"], ["user", "assistant"]):
        raise ConversationError(f"messages: roles {order}; read are system (or none), user, assistant")
    found: dict[str, list[str | ImagePath]] = {"system": []}
    for message in value:
        content = message.get("content")
        items = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(items, list):
            raise ConversationError(f"messages: content of {message['role']!r} must be a text or a list")
        found[message["role"]] = [_part(item, message["role"]) for item in items]
    return found


def _part(item: Any, role: str) -> str | ImagePath:
    kind = item.get("type") if isinstance(item, dict) else None
    if kind == "text" and isinstance(item.get("text"), str):
        return item["text"]
    if kind == "image" and isinstance(item.get("image"), str):
        return ImagePath(item["image"])
    raise ConversationError(
        f"messages: a part of {role!r} is neither a text nor an image with its path: {str(item)[:80]}"
    )


def image_bytes(folder: Path, path: str) -> bytes:
    """A picture of a folder.

    Raises:
        ConversationError: the path leaves the folder, or there is no such file, or one too large.
    """
    root = folder.resolve()
    place = (root / path).resolve()
    if not place.is_relative_to(root):
        raise ConversationError(f"image {path!r} lies outside of {folder}; write paths relative to it")
    try:
        if place.stat().st_size > MAX_IMAGE_BYTES:
            raise ConversationError(f"image {path!r} of {folder} is larger than {MAX_IMAGE_BYTES >> 20} MiB")
        return place.read_bytes()
    except OSError as e:
        raise ConversationError(f"image {path!r} of {folder}: {e.strerror}") from e


def read_split(folder: Path, split: str) -> list[Conversation]:
    """The conversations of one split.

    Raises:
        ConversationError: no such file, or a line that is none, named by its number.
    """
    path = folder / f"{split}.jsonl"
    try:
        with path.open(encoding="utf-8") as lines:
            return list(_numbered(lines, path, split))
    except OSError as e:
        raise ConversationError(
            f"{path}: {e.strerror}; 'zcurate review-export DATASET --format conversations --out {folder}' makes it"
        ) from e
    except UnicodeDecodeError as e:
        raise ConversationError(f"{path}: not UTF-8 ({e.reason} at byte {e.start})") from e


def _numbered(lines: Any, path: Path, split: str) -> Iterator[Conversation]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = from_line(line)
        except ConversationError as e:
            raise ConversationError(f"{path}, line {number}: {e}") from e
        if found.split != split and '"split"' in line:
            raise ConversationError(f"{path}, line {number}: its split is {found.split!r}")
        yield found


def shared_images(train: list[Conversation], held_out: list[Conversation]) -> list[str]:
    """Pictures that stand on both sides of the split, sorted: by path, and by the samples they came from."""
    sides = [{key for c in side for key in _keys(c)} for side in (train, held_out)]
    return sorted(sides[0] & sides[1])


def _keys(conversation: Conversation) -> set[str]:
    contents = conversation.provenance.get("content_ids")
    named = {c for c in contents if isinstance(c, str)} if isinstance(contents, list) else set()
    return {*conversation.images, *named}


def digest_of(folder: Path) -> str:
    """sha256 (hex) over both files of conversations; pictures count by their names."""
    total = hashlib.sha256()
    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        if path.is_file():
            with path.open("rb") as f:
                total.update(f"{split}\0{hashlib.file_digest(f, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
