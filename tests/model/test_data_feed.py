"""The feed of a training stage on real exports: what comes, how often, on which text; resumes, damage, stored features."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.model.data.errors import (
    DataError,
    PlanError,
    SchemaError,
    StaleFeaturesError,
    TooManyBadSamplesError,
)
from zcurate.model.data.features import FeatureStore, FeatureWriter, latent_variant
from zcurate.model.data.feed import ShardFeed
from zcurate.model.data.layout import Batching
from zcurate.model.data.lengths import byte_lengths
from zcurate.model.data.opening import open_feed
from zcurate.model.data.precompute import encoder_fingerprint, write_latents, write_text_features
from zcurate.model.data.resolution import Resolution
from zcurate.model.data.shards import open_source
from zcurate.model.data.stage import Part
from zcurate.model.pipeline_folder import tiny_pipeline
from zcurate.model.tiny_encoders import ByteTextEncoder, PixelVae
from zcurate.model.train.conditioning import Encoders
from zcurate.model.train.objective import Draw, Times, batch_from

from .data_case import export, export_pairs, id_of, pair

PIPELINE = tiny_pipeline(0)


def feed(*parts, seed=0, rank=0, ranks=1, pipeline=PIPELINE, **fields):
    values = {"resolution": {"side_px": 32}, "token_budget": 1024, "dropout": 0.0, **fields}
    return open_feed({**values, "parts": list(parts)}, seed, rank, ranks, pipeline)


def part(url, **fields):
    return {"url": str(url), **fields}


def epoch(one):
    return [e for batch in one for e in batch]


def facts(batches):
    return [[(e.id, e.prompt, e.pixels.tobytes()) for e in b] for b in batches]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feed") / "pictures"
    return folder, export(folder, 40)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feed") / "pairs"
    made = [pair(i, sources=1 + i % 2) for i in range(12)]
    export_pairs(folder, made)
    return folder, made


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_ranks_share_an_epoch_with_every_sample_once(tmp_path, form):
    export(tmp_path / "e", 41, form)
    feeds = [feed(part(tmp_path / "e"), rank=r, ranks=3) for r in range(3)]
    batches = [list(f) for f in feeds]
    assert {len(b) for b in batches} == {len(f) for f in feeds}
    assert len({len(f) for f in feeds}) == 1
    examples = [e for rank in batches for b in rank for e in b]
    assert feeds[0].facts()["left_out"] == 0
    assert sorted(e.id for e in examples) == sorted(id_of(i).hex() for i in range(41))
    for e in examples:
        assert e.pixels.dtype == np.uint8
        assert e.pixels.shape[0] % 2 == 0
        assert e.pixels.shape[1] % 2 == 0
        assert e.pixels.shape[0] * e.pixels.shape[1] <= 32 * 32
    second = [e.id for f in feeds for e in epoch(f)]
    assert sorted(second) == sorted(e.id for e in examples)
    assert second != [e.id for e in examples]


def test_planned_lengths_are_those_the_model_packs(pictures, pairs):
    """No micro-batch is longer for the model than it was planned to be, edits and semantic tokens included."""
    for semantic in (False, True):
        pipeline = tiny_pipeline(0, semantic=semantic)
        one = feed(
            part(pictures[0], captions={"en_long": 1, "zh_tags": 1}, dropout=0.2),
            part(pairs[0], reference_resolution={"side_px": 24}),
            pipeline=pipeline,
            token_budget=1700,
        )
        laid, encoders = one.laid(), Encoders(pipeline)
        seen = 0
        for step, batch in enumerate(one):
            conditions, latents = encoders(batch)
            draws = [Draw(0, 0, i, len(batch)) for i in range(len(batch))]
            layout = batch_from(
                [e.id for e in batch], conditions, latents, draws, Times(), pipeline.transformer
            ).layout
            planned = laid.epoch.lengths[laid.batch(step, 0)]
            assert list(layout.joint.lengths) == planned.tolist()
            assert sum(layout.joint.lengths) <= 1700
            seen += len(batch)
        assert seen == 52


def test_row_groups_are_read_once_an_epoch_while_they_fit(tmp_path):
    export(tmp_path / "e", 900, "parquet", rows_per_shard=300)
    one = feed(part(tmp_path / "e"))
    list(one)
    reader = one.parts[0].part.source.reader
    assert reader.reads == 9
    # With a third of the data in memory windows shrink, and groups are read twice only at their edges.
    third = sum(t.nbytes for t in reader._kept.values()) // 3
    source = open_source(tmp_path / "e", byte_lengths, kept_bytes=third)
    assert source.window_blocks == 2
    batching = Batching(1024, window_blocks=source.window_blocks, token_px=2)
    tight = ShardFeed([Part(source, Resolution.side(32, grid_px=2))], batching)
    list(tight)
    assert 9 <= source.reader.reads <= 14


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


def test_parts_come_by_their_shares(pictures, pairs):
    one = feed(part(pictures[0], share=4), part(pairs[0], share=1))
    edits = {p.facts["pair_id"] for p in pairs[1]}
    seen = Counter()
    for _ in range(6):
        ids = [e.id for e in epoch(one)]
        assert len(ids) == 50
        assert sum(i in edits for i in ids) == 10
        seen.update(i for i in ids if i in edits)
    assert len(seen) == 12  # what one epoch leaves out another has
    with pytest.raises(PlanError, match="every part a share"):
        next(iter(feed(part(pictures[0], share=4), part(pairs[0]))))


def test_weights_set_how_often_samples_come(pictures):
    one = feed(part(pictures[0], weighted=True))
    times = Counter(e.id for _ in range(30) for e in epoch(one))
    weight = {r["sample_id"].hex(): r["weight"] for r in pictures[1]}
    mean = sum(weight.values()) / 40
    for group in (1.0, 2.0, 3.0):
        ids = [i for i, w in weight.items() if w == group]
        assert sum(times[i] for i in ids) / len(ids) / 30 == pytest.approx(group / mean, rel=0.1)


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


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=4), st.integers(0, 2**20)
)
def test_an_epoch_stays_one_epoch_however_often_the_ranks_change(pictures, stretches, seed):
    """Each stretch runs some steps on some ranks and hands its cursor on; the last one ends the epoch."""
    state, seen, whole = None, [], sorted(id_of(i).hex() for i in range(40))
    for number, (ranks, steps) in enumerate(stretches):
        feeds = [feed(part(pictures[0]), seed=seed, rank=r, ranks=ranks, threads=1) for r in range(ranks)]
        if state is not None:
            for f in feeds:
                f.load_state_dict(json.loads(json.dumps(state)))
        last = number == len(stretches) - 1
        if feeds[0].state_dict()["epoch"]:
            return
        steps = len(feeds[0]) if last else min(steps, len(feeds[0]) - 1)
        for f in feeds:
            laid = f.laid()
            first = f.state_dict()["stretches"][-1][1]
            for step in range(first, max(first, steps)):
                seen += [
                    f.parts[0].part.source.rows.id_of(laid.epoch.row[n]) for n in laid.batch(step, f.rank)
                ]
            f._step = max(first, steps)
        state = feeds[0].state_dict()
    left = (
        len(feeds[0].laid().members) if feeds[0].laid().plan is None else len(feeds[0].laid().plan.left_out)
    )
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(whole)
    assert len(seen) == len(whole) - left
    assert left < stretches[-1][0]


def test_a_cursor_gives_exactly_the_next_batch(pictures, pairs):
    def fresh():
        parts = part(pictures[0], share=4), part(pairs[0], share=1)
        return feed(*parts, dropout=0.2, captions={"en_long": 1, "en_user_prompts": 2})

    one = fresh()
    stream = [*one, *one]
    first = len(fresh())
    for cut in (0, 1, first // 2, first - 1, first, first + 3):
        stopped = fresh()
        handed, states = 0, [stopped.state_dict()]
        while handed < cut:
            for _ in stopped:
                handed += 1
                states.append(stopped.state_dict())
                if handed == cut:
                    break
        resumed = fresh()
        resumed.load_state_dict(json.loads(json.dumps(states[cut])))
        rest = list(resumed) or list(resumed)
        assert facts(rest[:4]) == facts(stream[cut : cut + len(rest)][:4])


def test_cursors_of_other_data_or_settings_are_refused(pictures, pairs):
    state = feed(part(pictures[0])).state_dict()
    for other in (
        feed(part(pairs[0])),
        feed(part(pictures[0]), seed=1),
        feed(part(pictures[0]), token_budget=2048),
        feed(part(pictures[0]), captions={"en_short": 1}),
        feed(part(pictures[0]), dropout=0.5),
        feed(part(pictures[0]), resolution={"side_px": 24}),
    ):
        with pytest.raises(DataError, match="cursor is of other data"):
            other.load_state_dict(state)
    with pytest.raises(DataError, match="cursor"):
        feed(part(pictures[0])).load_state_dict({"feed": "shapes"})


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_shards_damaged_in_the_middle_of_an_epoch_are_skipped_and_counted(tmp_path, form, damage):
    export(tmp_path / "e", 160, form, rows_per_shard=8)

    def fresh():
        return [
            feed(part(tmp_path / "e"), rank=r, ranks=2, max_bad_share=0.3, ahead=1, threads=1) for r in (0, 1)
        ]

    number = {id_of(i).hex(): i for i in range(160)}
    last = number[[e.id for batch in fresh()[0] for e in batch][-1]] // 8  # a shard that is read late
    feeds = fresh()
    streams = [iter(f) for f in feeds]
    got = [e.id for s in streams for e in next(s)]
    name = f"{last:05d}.tar" if form == "webdataset" else f"captions-{last:05d}.parquet"
    shard = tmp_path / "e" / name
    shard.unlink() if damage == "missing" else shard.write_bytes(shard.read_bytes()[:700])
    rest = [list(s) for s in streams]
    assert len(rest[0]) == len(rest[1]) > 1
    assert all(batch for r in rest for batch in r)
    got += [e.id for r in rest for b in r for e in b]
    bad = sum(f.bad.bad for f in feeds)
    lost = set(number) - set(got)
    assert {number[i] // 8 for i in lost} == {last}
    assert len(lost) == bad
    assert bad >= 4
    assert name in (feeds[0].bad.first + feeds[1].bad.first)[0]


def test_a_resume_goes_on_exactly_where_a_batch_could_not_be_read(tmp_path):
    export(tmp_path / "e", 24, rows_per_shard=8)

    def fresh():
        return feed(part(tmp_path / "e"), max_samples=1, max_bad_share=0.5)

    one, again = fresh(), fresh()
    (tmp_path / "e" / "00001.tar").unlink()
    whole = list(one)
    assert len(whole) == 24
    assert all(len(b) == 1 for b in whole)
    assert one.bad.bad == 8
    state = {**again.state_dict(), "stretches": [[1, 9]]}
    again.load_state_dict(state)
    assert facts(again) == facts(whole[9:])


def test_too_many_bad_samples_stop_the_feed(tmp_path):
    export(tmp_path / "e", 40, rows_per_shard=8)
    one = feed(part(tmp_path / "e"))
    for name in ("00000.tar", "00001.tar"):
        (tmp_path / "e" / name).unlink()
    with pytest.raises(TooManyBadSamplesError, match=r"max_bad_share 0.01: sample .*0000[01]\.tar"):
        list(one)
    with pytest.raises(TooManyBadSamplesError, match="16 of 40 samples could not be read"):
        feed(part(tmp_path / "e"))
    assert len(epoch(feed(part(tmp_path / "e"), max_bad_share=0.5))) == 24


def test_pictures_that_do_not_decode_are_bad_samples(tmp_path):
    rows = export(tmp_path / "e", 40)
    shard = tmp_path / "e" / "00000.tar"
    data = bytearray(shard.read_bytes())
    at = data.index(b"IDAT")
    data[at : at + 60] = bytes(60)
    shard.write_bytes(data)
    one = feed(part(tmp_path / "e"), max_bad_share=0.1)
    ids = {e.id for e in epoch(one)}
    assert ids == {r["sample_id"].hex() for r in rows[1:]}
    assert one.bad.bad == 1
    assert id_of(0).hex() in one.bad.first[0]


def test_stored_latents_and_features_take_the_place_of_pictures_and_texts(tmp_path):
    export(tmp_path / "e", 20)
    mix = {"en_long": 1, "en_user_prompts": 1}
    plain = feed(part(tmp_path / "e", dropout=0.3), captions=mix)
    source_part = plain.parts[0].part
    assert write_latents(source_part, PIPELINE.vae, tmp_path / "latents", "float32").written == 20
    texts = write_text_features(source_part, PIPELINE.text_encoder, tmp_path / "texts", "float32")
    assert texts.written == 1 + 20 * 3
    assert not texts.bad
    stored = feed(
        part(
            tmp_path / "e",
            dropout=0.3,
            latents=str(tmp_path / "latents"),
            text_features=str(tmp_path / "texts"),
        ),
        captions=mix,
    )
    # Pictures are not needed any more: wreck them, keep the texts.
    for shard in (tmp_path / "e").glob("*.tar"):
        data = shard.read_bytes().replace(b"\x89PNG\r\n\x1a\n", b"no image")
        shard.write_bytes(data)
    (tmp_path / "f").mkdir()
    export(tmp_path / "f", 20)
    plain = feed(part(tmp_path / "f", dropout=0.3), captions=mix)
    encoders = Encoders(PIPELINE)
    dropped = 0
    for mine, theirs in zip(stored, plain, strict=True):
        assert [(e.id, e.prompt) for e in mine] == [(e.id, e.prompt) for e in theirs]
        assert all(e.pixels is None and e.latents is not None and e.text_features is not None for e in mine)
        for a, b in zip(encoders(mine), encoders(theirs), strict=True):
            for x, y in zip(a, b, strict=True):
                x, y = (v if torch.is_tensor(v) else v.text[0] for v in (x, y))
                assert torch.equal(x, y)
        dropped += sum(not e.prompt for e in mine)
    assert 0 < dropped < 20


def test_stored_features_of_another_encoder_are_refused(tmp_path):
    export(tmp_path / "e", 6)
    one = feed(part(tmp_path / "e"))
    write_text_features(
        one.parts[0].part, ByteTextEncoder.new(PIPELINE.text_encoder.feat_dim, seed=9), tmp_path / "t"
    )
    with pytest.raises(StaleFeaturesError, match="made by encoder"):
        feed(part(tmp_path / "e", text_features=str(tmp_path / "t")))
    with pytest.raises(SchemaError, match="latents is wanted"):
        feed(part(tmp_path / "e", latents=str(tmp_path / "t")))
    with pytest.raises(SchemaError, match="no stored features"):
        feed(part(tmp_path / "e", latents=str(tmp_path / "e")))
    with pytest.raises(DataError, match="new folder"):
        write_latents(one.parts[0].part, PIPELINE.vae, tmp_path / "t")


def test_stored_features_of_changed_pictures_and_captions_are_not_used(tmp_path):
    export(tmp_path / "e", 6)
    old = feed(part(tmp_path / "e")).parts[0].part
    write_latents(old, PIPELINE.vae, tmp_path / "latents")
    write_text_features(old, PIPELINE.text_encoder, tmp_path / "texts")
    export(tmp_path / "new", 6, en_long="A text edited since", repainted={2})
    kept = {"latents": str(tmp_path / "latents"), "text_features": str(tmp_path / "texts")}
    examples = epoch(feed(part(tmp_path / "new", **kept)))
    assert all(e.text_features is None for e in examples)
    assert {e.id for e in examples if e.latents is None} == {id_of(2).hex()}
    examples = epoch(feed(part(tmp_path / "e", **kept), resolution={"side_px": 24}))
    assert all(e.latents is None and e.pixels is not None and e.text_features is not None for e in examples)


def test_damaged_features_are_bad_samples(tmp_path):
    vae = encoder_fingerprint(PixelVae())
    variant = latent_variant(4, 4, "c")
    with FeatureWriter(tmp_path / "g", "latents", vae, "float32", file_bytes=100) as writer:
        for i in range(3):
            writer.add(f"{i}", variant, torch.full((3, 4, 4), float(i)))
        writer.add("empty", variant, torch.zeros(0, 4))
    store = FeatureStore.open(tmp_path / "g", "latents", vae)
    assert len(store) == 4
    assert store.get("1", variant).unique().tolist() == [1.0]
    assert store.get("1", "other") is None
    assert tuple(store.get("empty", variant).shape) == (0, 4)
    path = tmp_path / "g" / "00002.bin"
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    with pytest.raises(Exception, match="damaged"):
        store.get("2", variant)
    with pytest.raises(RuntimeError), FeatureWriter(tmp_path / "h", "text", vae) as writer:
        raise RuntimeError
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g"]


def test_fingerprints_tell_encoders_apart():
    a, b = ByteTextEncoder.new(8, seed=0), ByteTextEncoder.new(8, seed=1)
    assert (
        encoder_fingerprint(a)
        == encoder_fingerprint(ByteTextEncoder.new(8, seed=0))
        != encoder_fingerprint(b)
    )
    assert encoder_fingerprint(PIPELINE.text_encoder) == encoder_fingerprint(PIPELINE.text_encoder.encoder)
    from zcurate.model.vae import AutoencoderKL, VaeConfig

    small = VaeConfig((8, 8), 1, 4, 4)
    torch.manual_seed(0)
    vae = AutoencoderKL(small)
    before = encoder_fingerprint(vae)
    with torch.no_grad():
        vae.encoder.conv_in.weight[0, 0, 0, 0] += 1
    assert encoder_fingerprint(vae) != before != encoder_fingerprint(PixelVae())


def test_fields_that_are_wrong_are_named(pictures):
    for fields, message in (
        ({"token_budgets": 3}, "token_budgets"),
        ({"token_budget": 0}, "token_budget"),
        ({"resolution": {"min_px": 3}}, "side_px, or min_px and max_px"),
        ({"captions": {"fr": 1}}, "'fr' is no kind"),
        ({"dropout": 2}, "dropout"),
        ({"resolution": None}, "give a resolution"),
        ({"threads": 0}, "threads"),
    ):
        with pytest.raises(DataError, match=message):
            feed(part(pictures[0]), **fields)
    with pytest.raises(DataError, match="parts"):
        feed()
    with pytest.raises(PlanError, match="fewer ranks"):
        len(feed(part(pictures[0]), token_budget=64))
