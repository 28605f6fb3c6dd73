"""Label Studio JSON, out and in, without loss.

A task carries its whole payload in `data.zcurate`. Decisions of people are annotations, verdicts of AI verifiers predictions, the
rest (routes, undos) and the order of all are in `meta.zcurate`. The first item of an annotation's `result` carries the exact
decision in its `meta`, which Label Studio keeps; an annotation that was changed or made there differs from its decision, and
comes in as a new one. What only Label Studio understands is kept beside the task and goes out again as it came.

    export(import(document)) == document, and import(export(log)) gives an equal log.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ...errors import DatasetError
from .decisions import ReviewLog, now_text
from .states import AI, CORRECT, DISCARD, FAIL, HUMAN, PASS, SKIP, VERDICTS, Decision
from .tasks import FIELDS, Task, is_list, shown

FORMAT = 1
_MARK, _PROPOSAL = "zcurate", "proposal"
_KNOWN = ("data", "meta", "annotations", "predictions")


def label_config() -> str:
    """The labeling configuration (XML) under which the tasks can be worked on in Label Studio."""
    names = dict.fromkeys(f for fields in FIELDS.values() for f in fields)
    areas = "\n".join(
        f'  <TextArea name="{n}" toName="image" value="${n}" rows="3" editable="true" maxSubmissions="1"/>'
        for n in names
    )
    choices = "".join(f'<Choice value="{v}"/>' for v in VERDICTS)
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <Choices name="verdict" toName="image" choice="single" required="true">{choices}</Choices>\n'
        '  <Header value="Click what the picture does not show"/>\n'
        '  <Choices name="unsatisfied" toName="image" choice="multiple" value="$elements"/>\n'
        '  <Number name="aesthetic" toName="image" min="1" max="10"/>\n'
        f"{areas}\n</View>\n"
    )


def export_tasks(
    log: ReviewLog, picture_url: Callable[[Task], str] = lambda task: str(task.context.get("uri") or "")
) -> Iterator[dict[str, Any]]:
    """Current tasks of a log in Label Studio's form, by rank.

    Args:
        picture_url: where Label Studio finds a task's (first) picture.
    """
    for task in log.tasks():
        yield _task_out(log, task, picture_url)


def _task_out(log: ReviewLog, task: Task, picture_url: Callable[[Task], str]) -> dict[str, Any]:
    history, kept = log.history(task.id), log.attachment(task.id)
    annotations: dict[str, dict[str, Any]] = {}
    predictions: dict[str, dict[str, Any]] = {_PROPOSAL: _proposal(task)}
    others = []
    for d in history:
        if d.actor_kind == HUMAN and d.action in (*VERDICTS, SKIP):
            annotations[d.id] = _annotation(task, d)
        elif d.actor_kind == AI:
            predictions[d.id] = _prediction(task, d)
        else:
            others.append(vars(d) | {"body": dict(d.body)})
    ours = {"format": FORMAT, "order": [d.id for d in history], "log": others}
    return {
        "data": _data(task, picture_url(task)) | kept.get("data", {}),
        "meta": {_MARK: ours} | kept.get("meta", {}),
        "annotations": _as_it_came(annotations, kept.get("annotations", {})),
        "predictions": _as_it_came(predictions, kept.get("predictions", {})),
    } | kept.get("task", {})


def _as_it_came(made: dict[str, dict[str, Any]], came: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What came from Label Studio in its own words and order, then what was decided here since."""
    return [*came.values(), *(item for i, item in made.items() if i not in came)]


def _data(task: Task, url: str) -> dict[str, Any]:
    return {
        _MARK: json.loads(task.to_json()),
        "task_id": task.id,
        "image": url,
        "elements": [{"value": e.text, "alias": e.id} for e in task.elements],
        **{f: shown(v) for f, v in task.fields.items()},
    }


def _proposal(task: Task) -> dict[str, Any]:
    items = [_texts(f, shown(v)) for f, v in task.fields.items()]
    if items:
        items[0]["meta"] = {_MARK: _PROPOSAL}
    return {"model_version": task.proposer, "result": items}


def _annotation(task: Task, d: Decision) -> dict[str, Any]:
    return {
        "result": _result(task, d),
        "created_at": d.time,
        "lead_time": d.body["took_ms"] / 1000 if "took_ms" in d.body else None,
        "was_cancelled": d.action == SKIP,
    }


def _prediction(task: Task, d: Decision) -> dict[str, Any]:
    return {"model_version": d.actor, "score": d.body.get("score"), "result": _result(task, d)}


def _result(task: Task, d: Decision) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = [_choices("verdict", [d.action])]
    named = {e.id: e.text for e in task.elements}
    off = [named.get(i, i) for i in d.body.get("unsatisfied") or ()]
    if off:
        items.append(_choices("unsatisfied", off))
    if d.body.get("aesthetic") is not None:
        items.append(_item("aesthetic", "number", {"number": d.body["aesthetic"]}))
    for name, value in (d.body.get("fields") or {}).items():
        items.append(_texts(name, value if isinstance(value, str) else shown(tuple(value))))
    items[0]["meta"] = {_MARK: vars(d) | {"body": dict(d.body)}}
    return items


def _item(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "image", "type": kind, "value": value}


def _choices(name: str, values: list[str]) -> dict[str, Any]:
    return _item(name, "choices", {"choices": values})


def _texts(name: str, text: str) -> dict[str, Any]:
    return _item(name, "textarea", {"text": [text]})


# -- in


def import_tasks(log: ReviewLog, documents: Iterable[Any]) -> dict[str, int]:
    """Take tasks and decisions of Label Studio's JSON in; what is there already counts once.

    Returns:
        tasks, decisions: how many are new.

    Raises:
        DatasetError: naming the task (by its place in the file) that is not one of ours, or contradicts the log. Nothing
            of the file is taken then.
    """
    new = {"tasks": 0, "decisions": 0}
    with log.writing():
        for number, document in enumerate(documents):
            try:
                task, decisions, kept = _task_in(document)
                if log.task(task.id) is None:
                    new["tasks"] += log.sync_tasks([task], partial=True)
                new["decisions"] += log.append(decisions)
                known = log.attachment(task.id)
                log.attach(task.id, {name: known.get(name, {}) | new_ for name, new_ in kept.items()})
            except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as e:
                raise DatasetError(f"task {number}: not Label Studio JSON ({type(e).__name__} {e})") from e
            except DatasetError as e:
                raise DatasetError(f"task {number}: {e}") from e
    return new


def _task_in(document: Mapping[str, Any]) -> tuple[Task, list[Decision], dict[str, Any]]:
    data, meta = dict(document["data"]), dict(document.get("meta") or {})
    if _MARK not in data:
        raise DatasetError("no data.zcurate: only tasks that were exported from here can come back")
    task = Task.from_json(data[_MARK])
    if data.get("task_id", task.id) != task.id:
        raise DatasetError("data.zcurate was changed: it does not fit data.task_id")
    ours = meta.pop(_MARK, {"order": [], "log": []})
    found = [Decision(**d) for d in ours["log"]]
    annotations: dict[str, Any] = {}
    for raw in document.get("annotations") or ():
        found.append(_annotated(task, raw))
        annotations[found[-1].id] = raw
    predictions: dict[str, Any] = {}
    for raw in document.get("predictions") or ():
        name = _PROPOSAL if _is_proposal(task, raw) else _hash(task, raw)
        verdict = None if name == _PROPOSAL else _predicted(task, raw)
        if verdict is not None:
            found.append(verdict)
            name = verdict.id
        predictions[name] = raw
    if any(d.task_id != task.id for d in found):
        raise DatasetError("a decision is about another task")
    place = {i: n for n, i in enumerate(ours["order"])}
    found.sort(key=lambda d: place.get(d.id, len(place)))
    usual = _data(task, str(task.context.get("uri") or ""))
    kept = {
        "data": {k: v for k, v in data.items() if k not in usual or usual[k] != v},
        "meta": meta,
        "annotations": annotations,
        "predictions": predictions,
        "task": {k: v for k, v in document.items() if k not in _KNOWN},
    }
    return task, found, kept


def _is_proposal(task: Task, raw: Mapping[str, Any]) -> bool:
    items = raw.get("result") or ()
    return raw == _proposal(task) or any((i.get("meta") or {}).get(_MARK) == _PROPOSAL for i in items)


def _marked(result: list[dict[str, Any]]) -> Decision | None:
    """The decision that a result carries."""
    for item in result:
        mark = (item.get("meta") or {}).get(_MARK)
        if isinstance(mark, Mapping):
            return Decision(**mark)
    return None


def _said(result: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """What a result says, without ids that Label Studio adds."""
    return [
        (str(i.get("from_name")), str(i.get("type")), json.dumps(i.get("value"), sort_keys=True))
        for i in result
    ]


def _annotated(task: Task, raw: Mapping[str, Any]) -> Decision:
    result = list(raw.get("result") or ())
    known = _marked(result)
    if known is not None and _said(result) == _said(_result(task, known)):
        return known  # Label Studio may have added ids and times of its own
    action, body = _read(task, result)
    if raw.get("was_cancelled"):
        action, body = SKIP, {}
    elif action is None:
        action = CORRECT if body.get("fields") else FAIL if body.get("unsatisfied") else PASS
    by = raw.get("completed_by")
    name = by.get("email") if isinstance(by, Mapping) else by
    when = raw.get("updated_at") or raw.get("created_at") or now_text(0)
    actor = f"label-studio:{name if name is not None else 'unknown'}"
    return Decision(
        _hash(task, raw), task.id, action, actor, HUMAN, str(when), {**body, "label_studio": dict(raw)}
    )


def _predicted(task: Task, raw: Mapping[str, Any]) -> Decision | None:
    result = list(raw.get("result") or ())
    known = _marked(result)
    if known is not None and _said(result) == _said(_result(task, known)):
        return known
    action, body = _read(task, result)
    if action not in (PASS, FAIL):
        return None
    when, actor = raw.get("created_at") or now_text(0), str(raw.get("model_version") or "unknown")
    return Decision(
        _hash(task, raw), task.id, action, actor, AI, str(when), {**body, "label_studio": dict(raw)}
    )


def _read(task: Task, result: list[dict[str, Any]]) -> tuple[str | None, dict[str, Any]]:
    """(verdict or None, body) of what was clicked and typed in Label Studio."""
    ids = {**{e.text: e.id for e in reversed(task.elements)}, **{e.id: e.id for e in task.elements}}
    action: str | None = None
    body: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for item in result:
        name, value = item.get("from_name"), item.get("value") or {}
        if name == "verdict" and value.get("choices"):
            given = str(value["choices"][0])
            action = given if given in (PASS, FAIL, CORRECT, DISCARD) else None
        elif name == "unsatisfied":
            body["unsatisfied"] = [ids[c] for c in value.get("choices") or () if c in ids]
        elif name == "aesthetic":
            body["aesthetic"] = float(value.get("number", value.get("rating", 0)) or 0) or None
        elif name in task.fields and value.get("text"):
            text = value["text"] if isinstance(value["text"], str) else "\n".join(map(str, value["text"]))
            if text != shown(task.fields[name]):
                fields[name] = [t.strip() for t in text.split(",") if t.strip()] if is_list(name) else text
    return action, body | ({"fields": fields} if fields else {})


def _hash(task: Task, raw: Mapping[str, Any]) -> str:
    text = json.dumps([task.id, raw], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
