"""One picture through real HTTP: every fault of a server ends in captions or in the right reason."""

import json

import pytest

from .captioning_runs import HURRIED, QUICK, honest, is_ocr, outcome
from .server import Reply, faults, texts_of

#: Fault of the test server -> what becomes of a row whose every answer has it.
LASTING = {
    "rate_limit": "chat: transport",
    "rate_limit_retry_after": "chat: transport",
    "server_error": "chat: transport",
    "unavailable": "chat: transport",
    "never_answers": "chat: timeout",
    "drips": "chat: timeout",
    "slow": "captions",
    "dropped_before": "chat: transport",
    "dropped_in_body": "chat: transport",
    "unauthorized": "chat: auth",
    "unknown_model": "chat: missing_model",
    "prompt_too_long": "chat: rejected",
    "redirected": "chat: rejected",
    "html_error_page": "chat: transport",
    "broken_json": "chat: transport",
    "other_json": "chat: transport",
    "no_choices": "chat: transport",
    "empty": "rejected: empty",
    "null_content": "rejected: empty",
    "content_filter": "rejected: filtered",
    "fenced": "captions",
    "two_objects": "captions",
    "thinking": "captions",
    "reasoning_apart": "captions",
    "content_parts": "captions",
    "truncated": "rejected: truncated",
    "truncated_as_stop": "rejected: not_json",
    "whitespace_loop": "rejected: whitespace",
    "repetition_loop": "rejected: repetition",
    "refusal_en": "rejected: refusal",
    "refusal_zh": "rejected: refusal",
    "plain_text": "rejected: not_json",
    "byte_order_mark": "captions",
    "tool_call": "captions",
    "silent_tool_call": "rejected: empty",
    "object_as_content": "captions",
    "encoded_twice": "captions",
    "thinking_without_end": "rejected: empty",
    "reasoning_only": "rejected: empty",
    "stop_in_capitals": "captions",
    "given_up": "chat: transport",
    "filtered_by_another_name": "rejected: filtered",
    "error_in_200": "chat: transport",
}


def test_every_fault_has_an_outcome_here():
    assert set(faults("{}")) == set(LASTING)


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_fault_ends_in_captions_or_the_right_reason(vlm_server, name, capsys):
    answer = honest()
    script = lambda body: faults(json.dumps(answer(body), ensure_ascii=False))[name]  # noqa: E731
    hangs = LASTING[name] == "chat: timeout"
    got, _ = outcome(vlm_server, script, settings=HURRIED if hangs else QUICK)
    with capsys.disabled():
        print(f"\n  {name:24} always -> {got:22} ({vlm_server.asked} requests)", end="")
    assert got == LASTING[name]
    assert vlm_server.asked <= 40


@pytest.mark.parametrize(
    "name", [n for n, o in LASTING.items() if o.startswith("rejected") or o == "captions"]
)
def test_a_passing_fault_ends_in_captions_and_is_told(vlm_server, name, capsys):
    answer, first = honest(), set()

    def script(body):
        good = json.dumps(answer(body), ensure_ascii=False)
        kind = "ocr" if is_ocr(body) else "captions"
        if kind in first:
            return Reply(good)
        first.add(kind)
        return faults(good)[name]

    got, record = outcome(vlm_server, script)
    with capsys.disabled():
        told = (
            ", ".join((*record.provenance.failures, *record.provenance.repaired)) if got == "captions" else ""
        )
        print(f"\n  {name:24} once   -> {got:22} {told}", end="")
    assert got == "captions"
    assert "unclosed" not in record.provenance.repaired
    if LASTING[name].startswith("rejected"):
        assert LASTING[name].removeprefix("rejected: ") in record.provenance.failures
        notes = [t for body in vlm_server.bodies for t in texts_of(body) if t.startswith("Note on try 2")]
        assert notes or "ocr_in_parts" in record.provenance.warnings
