"""Everything that goes wrong between a stage and its model: each fault ends in captions or in quarantine, by its name."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from zcurate.pipelines.inspecting import error_rows

from ..captioner.server import faults
from .pictures import asked_for, captions_of, honest, make_folder
from .test_caption_stage import built, questions, recipe_of, rows_of

OK = "captions"

#: Fault, in every answer about a picture -> how the picture ends.
ALWAYS = {
    "lettering_left_out": OK,  # of the captions; a sentence that quotes it is added. Picture 0 has lettering.
    "server_error": "transport",
    "never_answers": "timeout",
    "drips": "timeout",
    "dropped_before": "transport",
    "dropped_in_body": "transport",
    "prompt_too_long": "rejected",
    "html_error_page": "transport",
    "broken_json": "transport",
    "other_json": "transport",
    "no_choices": "transport",
    "empty": "empty",
    "null_content": "empty",
    "content_filter": "filtered",
    "truncated": "truncated",
    "truncated_as_stop": "not_json",
    "whitespace_loop": "whitespace",
    "repetition_loop": "repetition",
    "refusal_en": "refusal",
    "refusal_zh": "refusal",
    "plain_text": "not_json",
    "slow": OK,
    "fenced": OK,
    "two_objects": OK,
    "thinking": OK,
    "reasoning_apart": OK,
    "content_parts": OK,
    "byte_order_mark": OK,
    "tool_call": OK,
    "silent_tool_call": "empty",
    "object_as_content": OK,
    "encoded_twice": OK,
    "thinking_without_end": "empty",
    "reasoning_only": "empty",
    "stop_in_capitals": OK,
    "given_up": "transport",
    "filtered_by_another_name": "filtered",
    "error_in_200": "transport",
    # of the captions alone
    "wrong_language": "language",
    "invented_quote": "quotes",
    "captions_that_loop": "repetition",
    "field_missing": "schema",
    "dropped_captions": "transport",
}
#: Faults that pass: the first answer about a picture, and never again. A busy server is one of them.
ONCE = [*(n for n in ALWAYS), "rate_limit", "rate_limit_retry_after", "unavailable"]


def faulty(name, body):
    """The answer that a fault makes of an honest one."""
    schema, i = asked_for(body)
    good = honest(body)
    if name == "dropped_captions":
        return replace(good, drop="before") if schema == "captions" else good
    changed = captions_of(i)
    if name == "wrong_language":
        changed["zh"] = {**changed["zh"], "long": changed["en"]["long"], "medium": changed["en"]["medium"]}
    elif name == "invented_quote":
        for kind in ("long", "medium", "short"):
            changed["en"][kind] += " A small plate reads “GRAND OPENING TODAY”."
    elif name == "lettering_left_out":
        for language in ("en", "zh"):
            changed[language]["long"] = (
                changed[language]["long"].replace(f"“SHOP {i}”", "").replace(f"SHOP {i}", "")
            )
    elif name == "captions_that_loop":
        changed["en"]["long"] += " The wall is gray." * 40
    elif name == "field_missing":
        del changed["zh"]
    else:
        return faults(good.text)[name]
    return replace(good, text=json.dumps(changed, ensure_ascii=False)) if schema == "captions" else good


class Scripted:
    """One fault per picture; the first `times` answers about it have it."""

    def __init__(self, names, times=10**9):
        self.names, self.times = names, times
        self.count = Counter()

    def __call__(self, body):
        _, i = asked_for(body)
        if i is None or i >= len(self.names):
            return honest(body)
        name = self.names[i]
        # what is wrong with captions only is not counted against the reading before them
        apart = name in (
            "wrong_language",
            "invented_quote",
            "captions_that_loop",
            "field_missing",
            "dropped_captions",
        )
        if apart and asked_for(body)[0] == "lettering":
            return honest(body)
        self.count[i] += 1
        return faulty(name, body) if self.count[i] <= self.times else honest(body)


def table(capsys, title, rows):
    with capsys.disabled():
        print(f"\n\n{title}\n{'fault':<24} {'ends in':<12} {'answers':>7}  as stored")
        for name, end, answers, text in rows:
            print(f"{name:<24} {end:<12} {answers or '-':>7}  {text[:110]}")


def ends(out, names):
    """(fault, end, answers, message) of every picture."""
    rows = rows_of(out)
    found = []
    for i, name in enumerate(names):
        row = rows[i]
        message = row["_error_message"] or ", ".join([*(row["failures"] or ()), *(row["repaired"] or ())])
        end = OK if row["_status"] == "ok" else message.partition(":")[0]
        found.append((name, end, row["attempts"] or "-", f"{row['_error_class'] or 'ok'}: {message}"))
    return found


def test_every_fault_ends_in_captions_or_in_quarantine_with_its_reason(tmp_path, vlm_server, capsys):
    names = list(ALWAYS)
    folder = make_folder(tmp_path / "in", range(len(names) + 4))
    vlm_server.script = Scripted(names)
    out = tmp_path / "ds"
    outcome = built(folder, out, vlm_server, "rows_per_shard=50", "stages.caption.timeout_s=4")
    assert outcome.exit_code == 3, outcome.record.failed
    found = ends(out, names)
    table(capsys, "Every answer about a picture has the fault:", found)
    assert {n: end for n, end, _, _ in found} == ALWAYS
    rows = rows_of(out)
    assert "SHOP 0" in rows[0]["en_long"]
    assert "lettering_appended" in rows[0]["repaired"]
    assert all(rows[i]["_status"] == "ok" for i in range(len(names), len(names) + 4)), "the others are whole"
    quarantined = list(error_rows(str(out)))
    assert len(quarantined) == sum(end != OK for end in ALWAYS.values())
    assert {r["error_class"] for r in quarantined} <= {"Rejected", "ChatError"}
    vlm_server.script = honest
    again = built(folder, out, vlm_server, "rows_per_shard=50", redo_errors=True)
    assert again.exit_code == 0
    assert list(error_rows(str(out))) == []


def test_faults_that_pass_cost_no_picture(tmp_path, vlm_server, capsys):
    folder = make_folder(tmp_path / "in", range(len(ONCE)))
    vlm_server.script = Scripted(ONCE, times=1)
    out = tmp_path / "ds"
    outcome = built(folder, out, vlm_server, "rows_per_shard=50", "stages.caption.timeout_s=4")
    found = ends(out, ONCE)
    table(capsys, "The first answer about a picture has the fault:", found)
    wrong = {n: end for n, end, _, _ in found if end != OK}
    assert wrong == {}
    assert outcome.exit_code == 0


def answer_slowly(event, after, delay_s=0.15):
    """Honest answers with a delay; sets the event once so many have been given out."""
    count = Counter()

    def script(body):
        count["answers"] += 1
        if count["answers"] >= after:
            event.set()
        return replace(honest(body), delay_s=delay_s)

    return script


def values(rows):
    """What must not differ between two runs: everything but the ledger of tries."""
    return {i: {k: v for k, v in r.items() if k not in ("attempts",)} for i, r in rows.items()}


@pytest.fixture
def undisturbed(tmp_path, vlm_server):
    """A folder of pictures, and the rows of a run in which nothing happened."""
    folder = make_folder(tmp_path / "in", range(20))
    vlm_server.script = honest
    assert built(folder, tmp_path / "calm", vlm_server, "rows_per_shard=10").exit_code == 0
    vlm_server.seen.clear()
    return folder, values(rows_of(tmp_path / "calm"))


def command_of(folder, out, server):
    recipe = recipe_of(folder, out, server.engine, "rows_per_shard=10", "stages.caption.rows_at_once=3")
    file = out.parent / "recipe.json"
    file.write_text(json.dumps(recipe.model_dump(mode="json") | {"params": {}}))
    return [str(Path(sys.executable).parent / "zcurate"), "build", str(file)]


def asked_twice(server):
    """How many questions were put more than once."""
    return sum(n - 1 for n in Counter(questions(server)).values())


def test_a_killed_driver_goes_on_where_it_was(undisturbed, tmp_path, vlm_server):
    folder, expected = undisturbed
    out, reached = tmp_path / "ds", threading.Event()
    vlm_server.script = answer_slowly(reached, 12)
    command = command_of(folder, out, vlm_server)
    driver = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert reached.wait(120)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    wait_until(lambda: vlm_server.at_once == 0)  # its workers go with it
    vlm_server.script = honest
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert values(rows_of(out)) == expected
    in_flight = 2 * 3  # workers x rows at once
    assert asked_twice(vlm_server) <= in_flight
    assert set(questions(vlm_server)) == {(s, i) for i in range(20) for s in ("lettering", "captions")}


def test_a_killed_worker_blames_no_picture(undisturbed, tmp_path, vlm_server):
    folder, expected = undisturbed
    out, reached = tmp_path / "ds", threading.Event()
    vlm_server.script = answer_slowly(reached, 12)
    driver = subprocess.Popen(
        command_of(folder, out, vlm_server), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert reached.wait(120)
    victims = [p for p, name in descendants(driver.pid) if "_RayWorker" in name]
    assert victims
    os.kill(victims[0], signal.SIGKILL)
    printed = driver.communicate(timeout=240)[0].decode()
    assert driver.returncode == 0, printed
    assert values(rows_of(out)) == expected
    assert asked_twice(vlm_server) <= 3


def wait_until(condition, limit_s=60.0):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def descendants(pid):
    """(pid, name) of all processes below one."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                names[int(entry.name)] = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                )
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return [(p, names[p]) for p in found - {pid}]
