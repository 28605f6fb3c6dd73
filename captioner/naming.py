"""Names for groups of concepts, by a model, from the names of their members."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from . import packs
from .answers import AnswerError
from .asking import ask_json
from .chat import Chat, ChatRequest, Sampling
from .fencing import fence, plain
from .schema import fold

MAX_NAME_CHARS = 60
MAX_MEMBERS = 60
MAX_MEMBER_CHARS = 80
_EMPTY = frozenset(
    "other others misc miscellaneous various unknown none n/a group concepts things 其他 其它 杂项 未知 无".split()
)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": MAX_NAME_CHARS}},
    "required": ["name"],
    "additionalProperties": False,
}


def name_request(members: Sequence[str], pack: packs.Prompt) -> ChatRequest:
    """The question; of many members an even selection, so that all parts of a large group are heard."""
    step = max(1, -(-len(members) // MAX_MEMBERS))
    shown = [plain(m, MAX_MEMBER_CHARS) for m in members[::step]]
    listed = fence("members", json.dumps(shown, ensure_ascii=False), MAX_MEMBERS * (MAX_MEMBER_CHARS + 8))
    return ChatRequest(
        pack.system,
        (pack.fill(members=listed),),
        schema=SCHEMA,
        schema_name="group_name",
        max_tokens=128,
        sampling=Sampling(temperature=0.0, seed=0),
    )


async def ask_name(members: Sequence[str], chat: Chat, pack: packs.Prompt, tries: int = 2) -> str:
    """A common name, or an empty string where the model finds none or gives nothing usable. Raises ChatError."""
    try:
        name, _ = await ask_json(chat, name_request(members, pack), _checked, tries)
    except AnswerError:
        return ""
    return name


def _checked(found: dict[str, Any]) -> str:
    name = found.get("name")
    if not isinstance(name, str):
        raise AnswerError("schema", "name must be a text.", "name")
    name = " ".join(plain(name, 10 * MAX_NAME_CHARS).split())
    if len(name) > MAX_NAME_CHARS:
        raise AnswerError("length", f"name is longer than {MAX_NAME_CHARS} characters.", "name")
    if any(mark in name for mark in ",;，；、/"):
        raise AnswerError("other", "name must be one name, no list.", "name")
    return "" if fold(name) in _EMPTY else name
