"""The stages from pixels to weights on a small folder: ocr, captions, concepts, weights."""

import json

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFont

from zcurate.captioner.schema import ARROW_SCHEMA
from zcurate.curation.profile.decode import decode
from zcurate.curation.profile.thumbnail import thumbnail
from zcurate.curation.stage import OK, NullMonitor
from zcurate.curation.store import SourceInfo
from zcurate.pipelines.context import StageContext
from zcurate.pipelines.stages import balance, caption, concepts, ocr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(table of samples, profile and thumbs, ocr output, captions, concepts) of four drawn files."""
    root = tmp_path_factory.mktemp("pictures")
    names = ["hat/sign.png", "hat/plain.png", "dog/plain.png", "broken.png"]
    for i, name in enumerate(names[:3]):
        image = Image.new("RGB", (640, 480), [(230, 225, 210), (200, 40, 40), (40, 90, 190)][i])
        if i == 0:
            ImageDraw.Draw(image).text(
                (60, 180), "Harbor Street 42", (20, 20, 60), ImageFont.load_default(54)
            )
        (root / name).parent.mkdir(exist_ok=True)
        image.save(root / name)
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    n = len(names)
    thumbs = [thumbnail(decode((root / name).read_bytes()).rgb)[0] for name in names[:3]]
    table = pa.table(
        {
            "sample_id": pa.array([bytes([i]) * 16 for i in range(n)], pa.binary(16)),
            "samples.source": ["pictures"] * n,
            "samples.uri": names,
            "samples.key": [name.rsplit(".", 1)[0] for name in names],
            "samples.container": ["file"] * n,
            "samples.member": pa.nulls(n, pa.string()),
            "samples.offset": pa.nulls(n, pa.int64()),
            "samples.length": pa.nulls(n, pa.int64()),
            "samples.text": ["a red hat", None, "小狗", None],
            "samples.metadata": [json.dumps({"tags": ["street sign"]}), "{not json", None, None],
            "samples.origin": ["camera"] * n,
            "profile.content_id": pa.array([bytes(16)] * n, pa.binary(16)),
            "profile.width_px": pa.array([640] * n, pa.int32()),
            "profile.height_px": pa.array([480] * n, pa.int32()),
            "profile.frames": pa.array([1] * n, pa.int32()),
            "profile.sharpness": pa.array([50.0] * n, pa.float32()),
            "thumbs.thumb": pa.array([*thumbs, b"broken"], pa.binary()),
        }
    )
    source = SourceInfo(name="pictures", root=str(root), kind="folder", origin="camera", license=None)
    ctx = StageContext(sources={"pictures": source}, groups=frozenset({"decisions/filter"}))
    stages = {
        "ocr": ocr.build(ocr.Config(), ctx),
        "captions": caption.build(caption.Config(), ctx),
        "concepts": concepts.build(concepts.Config(), ctx),
    }
    outputs = {}
    for name, stage in stages.items():
        given = table.select(["sample_id", *stage.spec.reads])
        outputs[name] = stage(given, NullMonitor())
        for field in stage.spec.schema:
            table = table.append_column(f"{name}.{field.name}", outputs[name][field.name])
    return stages, outputs, table


def test_ocr_stage(run):
    stages, outputs, _ = run
    rows = outputs["ocr"].to_pylist()
    assert [r["text"] for r in rows[:3]] == ["Harbor Street 42", "", ""]
    assert [r["_status"] for r in rows] == [OK, OK, OK, "error"]
    assert rows[0]["engine"].startswith("rapidocr")
    assert rows[1]["engine"].startswith("text_gate")
    assert len(rows[0]["lines"][0]["box"]) == 4
    assert stages["ocr"].spec.where == ("decisions/filter",)


def test_caption_and_concept_stages(run):
    _, outputs, _ = run
    captions = outputs["captions"].to_pylist()
    assert [r["_status"] for r in captions] == [OK, OK, OK, "error"]
    assert captions[3]["_error_class"] == "CaptionError"
    assert '"Harbor Street 42"' in captions[0]["en_long"]
    assert "“Harbor Street 42”" in captions[0]["zh_long"]
    assert outputs["captions"].schema.names[: len(ARROW_SCHEMA)] == ARROW_SCHEMA.names
    rows = outputs["concepts"].to_pylist()
    assert rows[0]["concepts"][:1] == ["hat"]
    assert "street sign" in rows[0]["concepts"]
    assert not any("harbor" in c for c in rows[0]["concepts"])
    assert rows[2]["concepts"] == ["dog"]
    assert rows[2]["concept_source"] == ["label"]


def test_one_language_leaves_the_other_null(run):
    _, _, table = run
    stage = caption.build(caption.Config(languages=["en"]), StageContext())
    row = stage(table.select(["sample_id", *stage.spec.reads]).slice(0, 1), NullMonitor()).to_pylist()[0]
    assert row["en_short"]
    assert row["zh_short"] is None
    assert row["zh_tags"] is None


class Shards:
    """A dataset of concept lists, as a global stage sees one."""

    def __init__(self, shards):
        self._shards = shards

    def shards(self):
        return list(self._shards)

    def read(self, shard, columns=None):
        rows = self._shards[shard]
        ids = pa.array([bytes(16)] * len(rows), pa.binary(16))
        return pa.table({"sample_id": ids, "concepts.concepts": pa.array(rows, pa.list_(pa.string()))})


def test_balance_stage():
    shards = {"b": [["dog"], ["owl"], []], "a": [["dog"]] * 7, "empty": []}
    stage = balance.build(balance.Config(), StageContext())
    result = stage.run(Shards(shards))
    aligned = dict(result.aligned)
    assert {name: t.num_rows for name, t in aligned.items()} == {"a": 7, "b": 3, "empty": 0}
    assert all(t.schema.equals(stage.spec.schema) for t in aligned.values())
    weights = np.concatenate([aligned[s]["weight"].to_numpy() for s in ("a", "b")])
    assert weights.mean() == pytest.approx(1)
    assert weights[8] == weights.max()
    assert aligned["b"]["rarity"].to_pylist()[2] is None
    table = {r["concept"]: r for r in result.tables["concepts"].to_pylist()}
    assert table["owl"]["share_after"] > table["owl"]["share_before"] == pytest.approx(0.1)
    assert 1 <= result.facts["effective_sample_size"] <= result.facts["n"] == 10
    assert result.facts["n_without_concepts"] == 1
