"""On which text a feed gives a sample: mixes of kinds, placeholders, instructions of edits, a sampler's plan."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zcurate.model.data.errors import PlanError

from .data_case import export
from .feed_case import epoch, feed, pairs, part, pictures  # noqa: F401 - fixtures among them

# ruff: noqa: F811


def test_prompts_follow_the_mix_of_the_stage(pictures):
    folder, rows = pictures
    texts = {r["sample_id"].hex(): r for r in rows}
    shares = {"en_long": 4, "zh_short": 2, "en_tags": 1, "en_user_prompts": 1, "text": 1, "en_enhanced": 1}
    one = feed(part(folder), captions=shares, dropout=0.1)
    counts = Counter()
    for _ in range(20):
        for e in epoch(one):
            row = texts[e.id]
            known = {
                "": "dropped",
                row["en_long"]: "en_long",
                row["zh_short"]: "zh_short",
                ", ".join(row["en_tags"]): "en_tags",
                row["text"]: "text",
                row["en_enhanced"]: "en_enhanced",
                **dict.fromkeys(row["en_user_prompts"], "en_user_prompts"),
            }
            counts[known[e.prompt]] += 1
            counts["second user prompt"] += e.prompt == row["en_user_prompts"][1]
    total = 40 * 20
    assert counts["dropped"] / total == pytest.approx(0.1, abs=0.04)
    for kind, share in shares.items():
        assert counts[kind] / total == pytest.approx(0.9 * share / 10, abs=0.05)
    assert 0 < counts["second user prompt"] < counts["en_user_prompts"]


def test_kinds_that_a_sample_lacks_go_to_its_others(pictures):
    prompts = {e.prompt for e in epoch(feed(part(pictures[0]), captions={"zh_enhanced": 9, "zh_long": 1}))}
    assert prompts == {row["zh_long"] for row in pictures[1]}


def test_placeholder_captions_are_left_out_unless_asked_for(tmp_path):
    def some(i):
        return i % 2 == 0

    rows = export(tmp_path / "e", 12, placeholder=some, text=lambda i: f"alt {i}" if i % 4 else None)
    odd = {r["sample_id"].hex() for r in rows[1::2]}
    everyone = {r["sample_id"].hex() for r in rows}
    strict = feed(part(tmp_path / "e"), captions={"en_long": 1})
    assert {e.id for e in epoch(strict)} == odd
    assert strict.facts()["parts"][0]["untexted"] == 6
    assert {e.id for e in epoch(feed(part(tmp_path / "e")))} == odd  # the chosen caption is a placeholder too
    asked = feed(part(tmp_path / "e"), captions={"en_long": 1}, include_placeholders=True)
    assert {e.id for e in epoch(asked)} == everyone
    mixed = epoch(feed(part(tmp_path / "e"), captions={"en_long": 1, "text": 1e-9}))
    assert {e.prompt for e in mixed if e.id not in odd} == {r["text"] for r in rows[::2] if r["text"]}
    kept = epoch(feed(part(tmp_path / "e"), captions={"en_long": 1}, keep_untexted=True))
    assert {e.id for e in kept if not e.prompt} == everyone - odd
    with pytest.raises(PlanError, match="12 have none of the texts zh_enhanced"):
        feed(part(tmp_path / "e"), captions={"zh_enhanced": 1})


def test_edits_come_with_their_sources_and_instructions(pairs):
    folder, made = pairs
    by_id = {p.facts["pair_id"]: p for p in made}
    examples = epoch(feed(part(folder)))
    assert len(examples) == 12
    for e in examples:
        p = by_id[e.id]
        assert len(e.references) == len(p.sources)
        assert e.prompt in {p.facts[k] for k in ("en_short", "en_long", "zh_short", "zh_long")}
        assert e.references[0].shape == e.pixels.shape
        # the edit is a red corner; the rest is the source
        assert e.pixels[1, 1].tolist() == pytest.approx([255, 0, 0], abs=3)
        assert np.abs(e.pixels.astype(int) - e.references[0]).mean(axis=2)[-8:].max() <= 2


def test_edits_are_told_by_target_captions_or_differences_by_share(pairs, tmp_path):
    ids = [p.facts["pair_id"] for p in pairs[1]]
    targets = [f"A picture with a red block, number {i}" for i in range(12)]
    pq.write_table(pa.table({"pair_id": ids, "target_en_long": targets}), tmp_path / "t.parquet")
    one = feed(
        part(pairs[0], texts=str(tmp_path / "t.parquet"), captions={"target_en_long": 0.25, "en_short": 0.75})
    )
    told = Counter(e.prompt.startswith("A picture") for _ in range(30) for e in epoch(one))
    assert told[True] / (12 * 30) == pytest.approx(0.25, abs=0.06)


def test_a_plan_of_the_sampler_says_which_samples_and_captions(pictures, tmp_path):
    rows = pictures[1]
    chosen = [rows[5], rows[7], rows[5], rows[9]]
    plan = {
        "stage": ["sft"] * 4 + ["omni"],
        "position": [0, 1, 2, 3, 0],
        "sample_id": pa.array([r["sample_id"] for r in chosen] + [b"\0" * 16], pa.binary(16)),
        "caption": ["en_enhanced", "zh_short", "en_enhanced", None, None],
    }
    pq.write_table(pa.table(plan), tmp_path / "plan.parquet")
    one = feed(part(pictures[0], only=str(tmp_path / "plan.parquet"), only_stage="sft"))
    got = sorted((e.id, e.prompt) for e in epoch(one))
    kinds = ["en_enhanced", "zh_short", "en_enhanced", "en_long"]
    assert got == sorted((r["sample_id"].hex(), r[k]) for r, k in zip(chosen, kinds, strict=True))
    with pytest.raises(PlanError, match="1 listed ids are not in it"):
        feed(part(pictures[0], only=str(tmp_path / "plan.parquet"), only_stage="omni"))
