"""A conversation as tokens: the prompt as the `transformers` engine makes it, then the answer, whose tokens alone carry loss."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema import KINDS, LANGUAGES
from ..vlm.transformers_chat import TransformersChat
from .conversations import Conversation

if TYPE_CHECKING:
    import torch

#: Stands for an answer while the template is asked what follows one.
_MARKER = "\u2021answer\u2021"


class TooLongError(ValueError):
    """A conversation has more tokens than are allowed, or than the model's context holds."""


@dataclass(frozen=True)
class Example:
    """One conversation for one forward.

    Attributes:
        inputs: arguments of the network's forward; `input_ids` (1, prompt + answer) int64.
        answer: ids of the answer, its end token last.
        scored: per token of the answer, whether it carries loss; bool.
        fields: name of a part of the answer (`en.long`) -> places of its tokens in `answer`.
        prompt_tokens: length of what stands before the answer.
    """

    inputs: dict[str, Any]
    answer: list[int]
    scored: list[bool]
    fields: dict[str, list[int]]
    prompt_tokens: int


class Encoder:
    """Makes examples for one loaded engine. Raises ValueError where the template writes no end of an answer."""

    def __init__(self, chat: TransformersChat, folder: Path, max_tokens: int = 8192):
        self._chat, self.folder, self._max_tokens = chat, folder, max_tokens
        self._end = self._end_tokens()

    def encode(self, conversation: Conversation) -> Example:
        """Raises TooLongError; ChatError: a picture that is none; ConversationError: one that is not there."""
        import torch

        chat = self._chat
        # Control tokens in a caption would be read as such: they are broken up in prompts likewise.
        text = chat._plain(conversation.answer)
        coded = chat._processor.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        answer = [*coded["input_ids"], *self._end]
        prompt, pictures, before = chat._fitted(conversation.request(self.folder, len(answer)))
        if before + len(answer) > min(self._max_tokens, chat._context):
            raise TooLongError(f"{before} tokens of prompt and {len(answer)} of answer")
        inputs = dict(chat._inputs([prompt], pictures))
        ids = torch.tensor([answer])
        for name, value in inputs.items():
            if isinstance(value, torch.Tensor) and value.shape == (1, before):
                # Beside the ids and their mask, per-token inputs mark pictures: an answer has none.
                tail = ids if name == "input_ids" else torch.full_like(ids, int(name == "attention_mask"))
                inputs[name] = torch.cat([value, tail.to(value.dtype)], dim=1)
        spans = dict(_spans(text))
        silent = [spans[name] for name in conversation.no_loss if name in spans]
        offsets = coded["offset_mapping"]
        scored = [not any(_meet(place, span) for span in silent) for place in offsets]
        fields = {
            name: [i for i, place in enumerate(offsets) if _meet(place, span)]
            for name, span in spans.items()
            if "." in name
        }
        return Example(inputs, answer, [*scored, *([True] * len(self._end))], fields, before)

    def _end_tokens(self) -> list[int]:
        """What the template writes behind an answer, up to the token at which the engine stops."""
        chat = self._chat
        messages = [
            {"role": "user", "content": [{"type": "text", "text": "?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": _MARKER}]},
        ]
        text = chat._processor.apply_chat_template(messages, tokenize=False)
        _, marker, tail = text.rpartition(_MARKER)
        ids = chat._processor.tokenizer(tail, add_special_tokens=False)["input_ids"] if marker else []
        at = next((i for i, token in enumerate(ids) if token in chat._ends), None)
        if at is not None:
            return ids[: at + 1]
        if not chat._ends:
            raise ValueError("the model has no token that ends an answer")
        return [min(chat._ends)]


def nll(network: Any, example: Example, grad: bool) -> torch.Tensor:
    """Negative log likelihood of each token of the answer, nats, float32, (answer tokens,)."""
    import torch

    inputs = {
        k: v.to(network.device, dtype=network.dtype if v.is_floating_point() else None)
        if isinstance(v, torch.Tensor)
        else v
        for k, v in example.inputs.items()
    }
    length = len(example.answer)
    with torch.set_grad_enabled(grad):
        # The token before the answer predicts its first one; logits of the prompt are never made.
        logits = network(**inputs, logits_to_keep=length + 1, use_cache=False).logits
        wanted = torch.tensor(example.answer, device=logits.device)
        return torch.nn.functional.cross_entropy(
            logits[0, -length - 1 : -1].float(), wanted, reduction="none"
        )


def _meet(token: tuple[int, int], span: tuple[int, int]) -> bool:
    """A token may begin with the blank before a value, or end with the comma behind it."""
    return token[0] < span[1] and token[1] > span[0]


def _spans(answer: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Where values stand in an answer, in characters: top-level fields, and the kinds of caption of each language."""
    try:
        value = json.loads(answer)
    except ValueError:
        return
    if not isinstance(value, dict):
        return
    at = 0
    for name, inner in value.items():
        found = _place(answer, name, inner, at)
        if found is None:
            return
        start, at = found
        yield name, found
        for kind in KINDS if name in LANGUAGES and isinstance(inner, dict) else ():
            place = _place(answer, kind, inner[kind], start) if kind in inner else None
            if place is not None:
                start = place[1]
                yield f"{name}.{kind}", place


def _place(answer: str, name: str, value: object, at: int) -> tuple[int, int] | None:
    """Only answers that were written by `json.dumps` are looked into; of others no part is told apart."""
    key, text = json.dumps(name, ensure_ascii=False) + ": ", json.dumps(value, ensure_ascii=False)
    start = answer.find(key + text, at)
    return None if start < 0 else (start + len(key), start + len(key) + len(text))
