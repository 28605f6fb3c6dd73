"""Exports opened for training: every format, on disk and behind fsspec, whole, damaged and wrong."""

import json
import shutil
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zcurate.model.data.caption_choice import DROPPED, CaptionMix, draw_kinds
from zcurate.model.data.decoding import decode, picture_size
from zcurate.model.data.errors import BadSampleError, DataError, SchemaError
from zcurate.model.data.extra_texts import with_texts
from zcurate.model.data.lengths import byte_lengths
from zcurate.model.data.shards import open_source
from zcurate.model.data.stage_lists import read_list

from .data_case import SIZES, encoded, export, export_pairs, id_of, pair, pixels

FORMS = ("webdataset", "parquet")


def put(folder, url, options=None):
    import fsspec

    fs, root = fsspec.core.url_to_fs(url, **(options or {}))
    fs.makedirs(root, exist_ok=True)
    for path in folder.iterdir():
        fs.pipe_file(f"{root}/{path.name}", path.read_bytes())


def check_pictures(source, rows):
    assert len(source.rows) == len(rows)
    assert not source.unreadable
    for i, row in enumerate(rows):
        assert source.rows.id_of(i) == row["sample_id"].hex()
        assert source.rows.sizes_px[i].tolist() == [row["width_px"], row["height_px"]]
        record = source.read(i)
        assert np.array_equal(
            decode(record.target, (row["width_px"], row["height_px"])), pixels(i, *SIZES[i % 6])
        )
        assert record.content == row["content_id"].hex()
        for kind in ("en_long", "zh_user_prompts", "en_tags", "text", "en_enhanced"):
            assert record.texts[kind] == row[kind]
        assert record.texts["caption"] == row["en_long"]
        bare = source.read(i, pictures=False)
        assert bare.target == b""
        assert bare.texts == record.texts
        assert bare.content == record.content
    kinds = ("en_tags", "zh_long", "zh_enhanced", "text", "no_such_kind")
    tokens = source.rows.tokens_of(kinds)
    assert tokens[3].tolist() == [
        *byte_lengths(["one, tag3", rows[3]["zh_long"]]).tolist(),
        0,
        byte_lengths(["alt 3"])[0],
        0,
    ]
    assert source.rows.weight.tolist() == [row["weight"] for row in rows]


@pytest.mark.parametrize("form", FORMS)
def test_pictures_from_disk_and_from_the_cached_scan(tmp_path, form):
    rows = export(tmp_path / "e", form=form)
    check_pictures(open_source(tmp_path / "e", byte_lengths, tmp_path / "cache"), rows)
    kept = list((tmp_path / "cache").iterdir())
    assert len(kept) == 1
    check_pictures(open_source(tmp_path / "e", byte_lengths, tmp_path / "cache"), rows)
    shutil.rmtree(tmp_path / "e")
    more = export(tmp_path / "e", 25, form=form)
    check_pictures(open_source(tmp_path / "e", byte_lengths, tmp_path / "cache"), more)


@pytest.mark.parametrize("form", FORMS)
def test_pictures_and_pairs_from_memory_urls(tmp_path, form):
    url = f"memory://{uuid.uuid4().hex}"
    rows = export(tmp_path / "e", 10, form=form)
    put(tmp_path / "e", f"{url}/e")
    check_pictures(open_source(f"{url}/e", byte_lengths), rows)
    export_pairs(tmp_path / "p", [pair(i) for i in range(5)], form)
    put(tmp_path / "p", f"{url}/p")
    check_pairs(open_source(f"{url}/p", byte_lengths), range(5))


def test_pictures_from_s3(tmp_path):
    pytest.importorskip("s3fs", reason="needs the s3 extra")
    server = pytest.importorskip("moto.server", reason="needs moto").ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {"key": "k", "secret": "s", "endpoint_url": f"http://{host}:{port}"}
        options["client_kwargs"] = {"region_name": "eu-west-1"}
        for form in FORMS:
            rows = export(tmp_path / form, 10, form=form)
            put(tmp_path / form, f"s3://bucket/{form}", options)
            check_pictures(open_source(f"s3://bucket/{form}", byte_lengths, options=options), rows)
        listed = tmp_path / "list.txt"
        listed.write_text("\n".join(id_of(i).hex() for i in (3, 1)))
        import s3fs

        s3fs.S3FileSystem(**options).pipe_file("bucket/list.txt", listed.read_bytes())
        assert np.array_equal(read_list("s3://bucket/list.txt", options=options).ids, read_list(listed).ids)
    finally:
        server.stop()


@pytest.mark.parametrize("form", FORMS)
def test_long_foreign_keys_and_empty_texts_are_read(tmp_path, form):
    values = {"key": lambda i: "图片" * 40 + f"/{i}.{i}", "text": None, "en_tags": lambda i: []}
    export(tmp_path / "e", 7, form, **values)
    source = open_source(tmp_path / "e", byte_lengths)
    assert not source.unreadable
    assert (
        source.rows.tokens_of(["text", "en_tags", "en_short"]).astype(bool).tolist()
        == [[False, False, True]] * 7
    )
    assert source.read(6).texts["en_short"] == "Short 6"


def check_pairs(source, numbers, sources=1):
    assert [source.rows.id_of(i) for i in range(len(source.rows))] == [
        pair(n).facts["pair_id"] for n in numbers
    ]
    for i, n in enumerate(numbers):
        size = SIZES[n % len(SIZES)]
        assert source.rows.sizes_px[i].tolist() == list(size)
        assert source.rows.references_px[i, :sources].tolist() == [list(size)] * sources
        assert not source.rows.references_px[i, sources:].any()
        record = source.read(i)
        expected = pair(n, sources=sources)
        assert record.target == expected.target
        assert record.references == expected.sources
        assert record.texts == {k: expected.facts[k] for k in ("en_short", "en_long", "zh_short", "zh_long")}


@pytest.mark.parametrize("form", FORMS)
def test_pairs_of_the_training_split_that_were_accepted(tmp_path, form):
    pairs = [pair(0), pair(1, "validation"), pair(2), pair(3, verdict="negative"), pair(4), pair(5)]
    export_pairs(tmp_path / "p", pairs, form)
    check_pairs(open_source(tmp_path / "p", byte_lengths), [0, 2, 4, 5])
    check_pairs(open_source(tmp_path / "p", byte_lengths, split="validation"), [1])
    check_pairs(open_source(tmp_path / "p", byte_lengths, split=None), [0, 1, 2, 4, 5])


@pytest.mark.parametrize("form", FORMS)
def test_pairs_with_several_sources_keep_their_order(tmp_path, form):
    export_pairs(tmp_path / "p", [pair(i, sources=3) for i in range(3)], form)
    check_pairs(open_source(tmp_path / "p", byte_lengths, tmp_path / "cache"), range(3), 3)
    check_pairs(open_source(tmp_path / "p", byte_lengths, tmp_path / "cache"), range(3), 3)


def test_folders_that_are_no_export_are_refused_by_name(tmp_path):
    with pytest.raises(SchemaError, match="chained"):
        open_source("simplecache::s3://bucket/e")
    with pytest.raises(SchemaError, match="no finished export"):
        open_source(tmp_path / "nothing")
    folder = tmp_path / "e"
    for record in ("not json", "[]", '{"kind": "zcurate-export", "format": "video"}'):
        folder.mkdir(exist_ok=True)
        (folder / "export.json").write_text(record)
        with pytest.raises(SchemaError, match=r"format|not JSON"):
            open_source(folder)
    export(tmp_path / "p", 4, "parquet")
    table = pq.read_table(tmp_path / "p" / "captions-00000.parquet")
    for lost, message in (("image", "holds no images"), ("width_px", "lacks width_px")):
        pq.write_table(table.drop_columns([lost]), tmp_path / "p" / "captions-00000.parquet")
        with pytest.raises(SchemaError, match=message):
            open_source(tmp_path / "p")
    export(tmp_path / "w", 4)
    index = pq.read_table(tmp_path / "w" / "index.parquet")
    pq.write_table(index.drop_columns(["offset"]), tmp_path / "w" / "index.parquet")
    with pytest.raises(SchemaError, match="lacks offset"):
        open_source(tmp_path / "w")
    (tmp_path / "w" / "index.parquet").unlink()
    with pytest.raises(SchemaError, match="no member index"):
        open_source(tmp_path / "w")


def test_an_index_may_not_point_out_of_its_folder(tmp_path):
    export(tmp_path / "w", 4)
    path = tmp_path / "w" / "index.parquet"
    index = pq.read_table(path)
    evil = pa.array(["../../secret.tar"] * len(index), pa.string())
    pq.write_table(index.set_column(index.schema.get_field_index("shard"), "shard", evil), path)
    with pytest.raises(SchemaError, match="not the name of a file"):
        open_source(tmp_path / "w")


@pytest.mark.parametrize("form", FORMS)
def test_missing_and_truncated_shards_are_counted_when_scanned(tmp_path, form):
    export(tmp_path / "e", 24, form, rows_per_shard=8)
    shards = sorted(p for p in (tmp_path / "e").iterdir() if p.name.startswith(("0000", "captions-")))
    shards[0].unlink()
    data = shards[1].read_bytes()
    shards[1].write_bytes(data[: len(data) // 2])
    source = open_source(tmp_path / "e", byte_lengths, tmp_path / "cache")
    left = [source.rows.id_of(i) for i in range(len(source.rows))]
    assert set(left) >= {id_of(i).hex() for i in range(16, 24)}
    assert len(left) < 16
    if form == "webdataset":
        assert source.unreadable == 24 - len(left)
    else:
        assert source.unreadable
    assert source.first.startswith(str(tmp_path))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("form", FORMS)
def test_a_replaced_file_gives_no_other_samples_pictures(tmp_path, form):
    export(tmp_path / "e", 8, form)
    source = open_source(tmp_path / "e", byte_lengths)
    rows = export(tmp_path / "other", 9, form, sample_id=lambda i: id_of(100 + i))
    assert rows[0]["sample_id"] != id_of(0)
    name = "00000.tar" if form == "webdataset" else "captions-00000.parquet"
    shutil.copy(tmp_path / "other" / name, tmp_path / "e" / name)
    with pytest.raises(BadSampleError, match="holds sample"):
        source.read(0)


def test_weights_that_are_no_numbers_are_bad_samples(tmp_path):
    pairs = [pair(i) for i in range(4)]
    pairs[1].facts["weight"] = -0.5
    pairs[2].facts["weight"] = -1.0
    export_pairs(tmp_path / "p", pairs)
    source = open_source(tmp_path / "p", byte_lengths)
    assert source.unreadable == 2
    assert "weight -0.5" in source.first
    assert len(source.rows) == 2


def test_further_texts_join_by_id(tmp_path):
    rows = export(tmp_path / "e", 6)
    table = {
        "sample_id": [rows[4]["sample_id"].hex(), "0" * 32],
        "en_enhanced": ["An altogether other text", "x"],
    }
    pq.write_table(pa.table({**table, "zh_enhanced": ["长长的提示词", None]}), tmp_path / "t.parquet")
    source = with_texts(open_source(tmp_path / "e", byte_lengths), tmp_path / "t.parquet", byte_lengths)
    assert source.read(4).texts["en_enhanced"] == "An altogether other text"
    assert source.read(3).texts["en_enhanced"] == rows[3]["en_enhanced"]
    assert source.rows.tokens_of(["zh_enhanced"])[:, 0].tolist() == [0, 0, 0, 0, 7, 0]
    assert source.rows.tokens_of(["en_enhanced"])[4] == 5
    pq.write_table(pa.table({"sample_id": ["0" * 32]}), tmp_path / "bad.parquet")
    with pytest.raises(SchemaError, match="columns such as"):
        with_texts(source, tmp_path / "bad.parquet", byte_lengths)


def test_lists_of_samples_in_every_form(tmp_path):
    export(tmp_path / "e", 5)
    assert len(read_list(tmp_path / "e" / "uids.npy").ids) == 5
    ids = [id_of(3), id_of(1), id_of(3)]
    plan = pa.table(
        {
            "stage": ["low", "sft", "sft"],
            "position": [0, 0, 1],
            "sample_id": pa.array(ids, pa.binary(16)),
            "caption": ["en_long", "en_enhanced", None],
        }
    )
    pq.write_table(plan, tmp_path / "plan.parquet")
    with pytest.raises(SchemaError, match="low, sft; name one"):
        read_list(tmp_path / "plan.parquet")
    with pytest.raises(SchemaError, match="no stage 'x'"):
        read_list(tmp_path / "plan.parquet", "x")
    found = read_list(tmp_path / "plan.parquet", "sft")
    assert found.kind == ("en_enhanced", None)
    (tmp_path / "l.txt").write_text("\n".join(i.hex() for i in ids[1:]))
    assert np.array_equal(found.ids, read_list(tmp_path / "l.txt").ids)
    for name, content in (
        ("a.txt", b"xyz"),
        ("b.npy", b"\x93NUMPY"),
        ("c.parquet", b"PAR1"),
        ("d.npy", None),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(SchemaError, match=name):
            read_list(tmp_path / name)


def test_decoding_covers_turns_and_refuses():
    array = pixels(1, 60, 40)
    assert decode(encoded(array), (30, 20)).shape == (20, 30, 3)
    square = decode(encoded(array), (20, 20))
    assert (
        np.abs(square.astype(int) - np.asarray(Image.fromarray(array[:, 10:50]).resize((20, 20)))).mean() < 3
    )
    turned = Image.fromarray(array)
    exif = Image.Exif()
    exif[0x0112] = 6
    import io

    out = io.BytesIO()
    turned.save(out, "JPEG", exif=exif, quality=95)
    assert picture_size(out.getvalue()) == (40, 60)
    upright = decode(out.getvalue(), (40, 60)).astype(int)
    assert np.abs(upright - np.rot90(array, -1).astype(int)).mean() < 4
    clear = np.dstack([array, np.zeros(array.shape[:2], np.uint8)])
    assert decode(encoded(clear), (60, 40)).min() == 255
    for data in (b"", b"no picture", encoded(array)[:200], out.getvalue()[:300]):
        with pytest.raises(BadSampleError):
            decode(data, (30, 20))


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP"]),
    st.integers(0, 2**32),
    st.lists(st.integers(0, 255), max_size=6),
    st.booleans(),
)
def test_damaged_pictures_are_bad_samples_or_pictures_of_the_size(form, at, patch, cut):
    data = bytearray(encoded(pixels(3, 70, 50), form))
    place = at % len(data)
    data[place : place + len(patch)] = bytes(patch)
    try:
        picture = decode(bytes(data[: place + 1] if cut else data), (32, 24))
    except BadSampleError:
        return
    assert picture.shape == (24, 32, 3)
    # What is cut off is noticed: only a trailer may be missing.
    assert not cut or place > len(data) * 0.9


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**40), st.lists(st.floats(0, 5), min_size=1, max_size=5), st.floats(0, 1))
def test_kinds_are_drawn_among_those_a_sample_has(seed, shares, dropout):
    kinds = ("en_long", "zh_long", "text", "caption", "en_tags")[: len(shares)]
    if not sum(shares):
        return
    mix = CaptionMix(dict(zip(kinds, shares, strict=True)), dropout)
    rng = np.random.default_rng(seed)
    has = rng.random((200, len(mix.kinds))) < 0.5
    ids = rng.integers(0, 2**63, (200, 2)).astype(np.uint64)
    drawn = draw_kinds(mix, has, ids, seed, 1)
    for kind, row in zip(drawn, has, strict=True):
        assert kind == DROPPED or (row[kind] if kind >= 0 else not row.any())
    order = rng.permutation(200)
    assert np.array_equal(draw_kinds(mix, has[order], ids[order], seed, 1), drawn[order])


def test_wrong_mixes_are_named():
    for shares in ({"fr_long": 1}, {"en_long": -1}, {"en_long": 0}, {}):
        with pytest.raises(DataError, match="captions"):
            CaptionMix(shares)
    with pytest.raises(DataError, match="dropout"):
        CaptionMix(dropout=1.5)


def test_records_of_members_say_what_is_wrong(tmp_path):
    export(tmp_path / "e", 2)
    source = open_source(tmp_path / "e", byte_lengths)
    shard = tmp_path / "e" / "00000.tar"
    data = bytearray(shard.read_bytes())
    at = data.index(b'{"sample_id"')
    data[at : at + 12] = b"[1,         "
    shard.write_bytes(data)
    with pytest.raises(BadSampleError, match="JSON"):
        source.read(0)
    assert json.loads((tmp_path / "e" / "export.json").read_text())["format"] == "webdataset"
