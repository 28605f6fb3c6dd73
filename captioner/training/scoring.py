"""How well a model does each task on conversations held out: its likelihood of the answers, and what it writes itself.

`loss` is nats per token of the answers people stand behind (`perplexity` = exp of it), of captions also per language and
kind. Written answers are compared by what each task is for: strings of lettering, tags, claims of a caption, kinds of
difference. An answer that cannot be read counts as 0 everywhere.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

from .. import ocr_pass
from ..answers import AnswerError, parse_object
from ..chat import ChatError
from ..checks import take
from ..difference_checks import INSTRUCTION_SCHEMA, check_analysis
from ..elements import elements
from ..evidence import Evidence
from ..schema import KINDS, LANGUAGES, fold
from ..shapes import lacks
from ..vlm.transformers_chat import TransformersChat
from .conversations import Conversation
from .examples import Encoder, TooLongError, nll

#: Room of an answer when it is written, beside that of the one known: much more is another answer in any case.
_ROOM_FACTOR, _ROOM_TOKENS = 1.5, 32


def scores(
    chat: TransformersChat,
    encoder: Encoder,
    conversations: Sequence[Conversation],
    answers: int = 16,
    say: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Task -> conversations, tokens, loss, perplexity, fields, and metrics of `answers` written ones.

    Args:
        chat: loaded; its network as it is now is scored.
        answers: per task, written and compared; the first ones by id, so that two models write the same. 0: none.
    """
    by_task: dict[str, list[Conversation]] = defaultdict(list)
    for conversation in sorted(conversations, key=lambda c: c.id):
        by_task[conversation.task].append(conversation)
    chat._network.eval()
    found: dict[str, Any] = {}
    done = 0
    for task in sorted(by_task):
        totals: dict[str, list[float]] = defaultdict(list)
        used, lengths = 0, []
        for conversation in by_task[task]:
            done += 1
            say(done, len(conversations))
            try:
                example = encoder.encode(conversation)
            except TooLongError:
                continue
            used += 1
            lengths.append((conversation, len(example.answer)))
            losses = nll(chat._network, example, grad=False).tolist()
            totals[""] += [x for x, scored in zip(losses, example.scored, strict=True) if scored]
            for name, places in example.fields.items():
                totals[name] += [losses[i] for i in places]
        if not used:
            found[task] = {"conversations": 0, "too_long": len(by_task[task])}
            continue
        found[task] = {"conversations": used, "too_long": len(by_task[task]) - used, **_mean(totals.pop(""))}
        if totals:
            found[task]["fields"] = {name: _mean(values) for name, values in totals.items() if values}
        if answers and task in _COMPARED:
            found[task]["answers"] = _written(chat, encoder.folder, lengths[:answers], _COMPARED[task])
    return found


def _mean(losses: Sequence[float]) -> dict[str, Any]:
    loss = math.fsum(losses) / len(losses)
    return {"tokens": len(losses), "loss": loss, "perplexity": math.exp(min(loss, 700.0))}


def _written(
    chat: TransformersChat,
    folder: Path,
    chosen: Sequence[tuple[Conversation, int]],
    compare: Callable[[dict[str, Any], dict[str, Any]], dict[str, float]],
) -> dict[str, float]:
    """Means over answers that the model writes greedily."""
    known, asked, rows = [], [], []
    for conversation, length in chosen:
        with suppress(AnswerError):  # what was not written for this task has nothing to be compared with
            wanted = parse_object(conversation.answer).value
            rows.append({"usable": 0.0} | dict.fromkeys(compare(wanted, wanted), 0.0))
            known.append(wanted)
            asked.append(conversation.request(folder, int(_ROOM_FACTOR * length) + _ROOM_TOKENS))
    size = chat.settings.batch
    for at in range(0, len(asked), size):
        for i, answer in enumerate(chat._answer(asked[at : at + size]), at):
            if isinstance(answer, ChatError):
                continue
            with suppress(AnswerError):
                value = parse_object(answer[0], answer[1], tuple(known[i])).value
                rows[i] = {"usable": 1.0} | compare(value, known[i])
    names = sorted({name for row in rows for name in row})
    return {"written": len(rows)} | {n: fmean(row[n] for row in rows if n in row) for n in names}


def _ocr(value: dict[str, Any], wanted: dict[str, Any]) -> dict[str, float]:
    """Strings exactly as they stand in the picture, repeats counted; `exact`: all of them, in order."""
    mine, known = (
        [s.text for s in ocr_pass.strings_of(v.get("ocr"), Evidence())[0]] for v in (value, wanted)
    )
    return {"exact": float(mine == known), "strings_f1": _f1(mine, known)}


def _caption(value: dict[str, Any], wanted: dict[str, Any]) -> dict[str, float]:
    """Per language: tags; claims of the long caption that can be checked in a picture; what it quotes."""
    languages = [code for code in LANGUAGES if code in wanted]
    mine, known = (take(v, dict.fromkeys(languages, KINDS)) for v in (value, wanted))
    found: dict[str, float] = {}
    for code in languages:
        a, b = mine[code], known[code]
        found[f"{code}.tags_f1"] = _f1(*(sorted({fold(t) for t in c["tags"]}) for c in (a, b)))
        found[f"{code}.claims_f1"] = _f1(*(_claims(c["long"]) for c in (a, b)))
        found[f"{code}.long_exact"] = float(a["long"] == b["long"])
    return found


def _claims(text: str) -> list[str]:
    return [f"{e.kind}|{e.negated}|{fold(e.text)}" for e in elements(text).elements]


def _difference(value: dict[str, Any], wanted: dict[str, Any]) -> dict[str, float]:
    """Kinds of difference, and whole differences, letter case apart."""
    mine, known = (check_analysis(v)[1] for v in (value, wanted))
    whole = [["|".join(map(fold, d.row().values())) for d in side] for side in (mine, known)]
    return {"kinds_f1": _f1([d.kind for d in mine], [d.kind for d in known]), "differences_f1": _f1(*whole)}


def _instruction(value: dict[str, Any], wanted: dict[str, Any]) -> dict[str, float]:
    """Words in English, characters in Chinese."""
    if lacks(value, INSTRUCTION_SCHEMA) or not all(isinstance(value[c], str) for c in LANGUAGES):
        raise AnswerError("schema", "en and zh must be texts")
    return {
        "en.words_f1": _f1(fold(value["en"]).split(), fold(wanted["en"]).split()),
        "zh.characters_f1": _f1("".join(value["zh"].split()), "".join(wanted["zh"].split())),
    }


def _f1(mine: Iterable[str], known: Iterable[str]) -> float:
    """Harmonic mean of precision and recall, repeats counted; 1 where both are empty."""
    a, b = Counter(mine), Counter(known)
    if not a and not b:
        return 1.0
    return 2 * (a & b).total() / (a.total() + b.total())


_COMPARED = {"ocr": _ocr, "caption": _caption, "difference": _difference, "instruction": _instruction}
