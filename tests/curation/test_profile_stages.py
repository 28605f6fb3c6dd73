"""Stages `profile` and `embed` write what they promise: rows, errors, vectors, the models they declare."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import simplejpeg

from zcurate.curation.errors import SampleError
from zcurate.curation.profile import quality as quality_package
from zcurate.curation.profile.columns import PROFILE_SCHEMA, QUALITY_SCHEMA, THUMBS_SCHEMA
from zcurate.curation.profile.errors import BlockedContentError
from zcurate.curation.profile.fingerprints import content_id
from zcurate.curation.profile.measure import profile_image
from zcurate.curation.profile.metadata import METADATA_SCHEMA
from zcurate.curation.profile.thumbnail import thumbnail
from zcurate.curation.stage import NullMonitor, map_rows
from zcurate.pipelines.stages import embed as embed_stage
from zcurate.pipelines.stages import profile as profile_stage

from .profile_scenes import grey, scene


@dataclass
class FolderBlobs:
    """Reads whole files of one folder."""

    root: Path

    def read(self, source, uri, container, member, offset, length) -> bytes:
        file = self.root / uri
        if not file.is_file():
            raise SampleError(f"{uri} is gone")
        return file.read_bytes()


@dataclass
class Context:
    """The parts of a stage context that these stages use."""

    root: Path
    block: frozenset[bytes] = field(default_factory=frozenset)

    def blobs(self) -> FolderBlobs:
        return FolderBlobs(self.root)

    def identity(self, model: str) -> str:
        return model

    def encoder(self, model: str):
        from zcurate.curation.embedding.embedded import EmbeddedEncoder

        assert model == "embedded"
        return EmbeddedEncoder()


def samples_table(stage, names: list[str]) -> pa.Table:
    columns = {"sample_id": pa.array([bytes([i]) * 16 for i in range(len(names))], pa.binary(16))}
    for column in stage.spec.reads:
        values = {"samples.uri": names, "samples.container": ["file"] * len(names)}.get(
            column, [None] * len(names)
        )
        columns[column] = pa.array(values, pa.string())
    return pa.table(columns)


def test_profile_stage_rows_errors_and_block_list(tmp_path):
    (tmp_path / "good.jpg").write_bytes(simplejpeg.encode_jpeg(scene(1)))
    (tmp_path / "blocked.jpg").write_bytes(simplejpeg.encode_jpeg(scene(2)))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tmp_path / "cut.jpg").write_bytes(simplejpeg.encode_jpeg(scene(3))[:3000])
    blocked = content_id((tmp_path / "blocked.jpg").read_bytes())
    ctx = Context(tmp_path, frozenset({blocked}))
    stage = profile_stage.build(profile_stage.Config(quality=False), ctx)
    stage.setup()
    names = ["good.jpg", "blocked.jpg", "broken.png", "cut.jpg", "gone.jpg"]
    out = stage(samples_table(stage, names), NullMonitor())
    assert out.select(stage.spec.schema.names).schema.equals(stage.spec.schema)
    assert out["_error_class"].to_pylist() == [
        None,
        BlockedContentError.__name__,
        "UnreadableImageError",
        "TruncatedImageError",
        "SampleError",
    ]
    assert [t is None for t in out["thumb"].to_pylist()] == [False, True, True, True, True]
    assert out["content_id"][0].as_py() == content_id((tmp_path / "good.jpg").read_bytes())
    assert out.equals(stage(samples_table(stage, names), NullMonitor()))


def test_embed_stage_aligns_vectors_with_rows():
    stage = embed_stage.build(embed_stage.Config(batch_size=2), Context(Path()))
    stage.setup()
    thumbs = [thumbnail(scene(s))[0] for s in range(4)]
    thumbs[1] = b"not an image"
    table = pa.table(
        {
            "sample_id": pa.array([bytes([i]) * 16 for i in range(4)], pa.binary(16)),
            "thumbs.thumb": pa.array(thumbs, pa.binary()),
            "samples.text": pa.array(["a", None, "", "b"]),
            "profile.content_id": pa.array([b"0" * 16] * 4, pa.binary(16)),
        }
    )
    starts = []

    class Monitor:
        def start(self, first: int, last: int) -> None:
            starts.append((first, last))

    out = stage(table, Monitor())
    assert starts == [(0, 1), (2, 3)]
    assert out["_status"].to_pylist() == ["ok", "error", "ok", "ok"]
    assert out["vector"].type == stage.spec.schema.field("vector").type
    assert [v is None for v in out["vector"].to_pylist()] == [False, True, False, False]
    assert out["text_vector"].null_count == 4
    for row in (0, 2, 3):
        vector = np.array(out["vector"][row].as_py(), np.float32)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=2e-3)
        wanted = stage._encoder.encode_images([simplejpeg.decode_jpeg(thumbs[row])])[0]
        np.testing.assert_allclose(vector, wanted, atol=1e-3)
    empty = stage(table.slice(0, 0), Monitor())
    assert empty.num_rows == 0


def test_profile_values_fit_the_schema(tmp_path):
    values = profile_image(simplejpeg.encode_jpeg(scene()))
    schema = pa.schema([*PROFILE_SCHEMA, *METADATA_SCHEMA, *QUALITY_SCHEMA, *THUMBS_SCHEMA])
    out = map_rows(pa.table({"x": [1]}), lambda row: values, schema, NullMonitor())
    assert out["width_px"].to_pylist() == [400]
    assert len(out["phashes"][0].as_py()) == 8
    assert out["blur"].to_pylist() == [None]


def test_models_see_stored_pixels_and_the_displayed_copy():
    class Models:
        def add(self, row, image, fine, small):
            assert image.pixels.shape[:2] == (700, 1000)
            assert fine is image.pixels
            assert small.shape == (336, 480, 3)
            row.update(dict.fromkeys(QUALITY_SCHEMA.names, 0.25))

    for colors in ("rgb", "gray"):
        pixels = scene(0, 700, 1000) if colors == "rgb" else grey(scene(0, 700, 1000))[..., None]
        subsampling = "444" if colors == "rgb" else "Gray"
        data = simplejpeg.encode_jpeg(pixels, colorspace=colors, colorsubsampling=subsampling)
        values = profile_image(data, models=Models())
        assert {values[name] for name in QUALITY_SCHEMA.names} == {0.25}


def test_stage_declares_the_weights_it_uses(tmp_path):
    off = profile_stage.build(profile_stage.Config(quality=False), Context(tmp_path)).spec
    assert dict(off.models) == {}
    assert list(off.outputs) == ["profile", "metadata", "quality", "thumbs"]
    if not (Path(quality_package.__file__).with_name("weights.safetensors")).is_file():
        pytest.skip("needs the weights of the quality model")
    on = profile_stage.build(profile_stage.Config(), Context(tmp_path)).spec
    assert set(on.models) == {"quality", "forensic"}
