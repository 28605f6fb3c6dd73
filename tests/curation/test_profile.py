"""The signals order pictures as they should, and the stage writes what it promises."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pyarrow as pa
import pytest
import simplejpeg
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from zcurate.curation.errors import SampleError
from zcurate.curation.profile import quality as quality_package
from zcurate.curation.profile.border import border_variance
from zcurate.curation.profile.color import profile_transform
from zcurate.curation.profile.color_cast import color_cast
from zcurate.curation.profile.columns import PROFILE_SCHEMA, QUALITY_SCHEMA, SIDES, THUMBS_SCHEMA
from zcurate.curation.profile.compression import compression_ratio
from zcurate.curation.profile.decode import decode, oriented
from zcurate.curation.profile.entropy import reencode_bytes_per_px
from zcurate.curation.profile.errors import BlockedContentError
from zcurate.curation.profile.fingerprints import content_id, phash64, phashes64, tiny_grey
from zcurate.curation.profile.icc_cube import displayed_small
from zcurate.curation.profile.measure import profile_image
from zcurate.curation.profile.metadata import METADATA_SCHEMA
from zcurate.curation.profile.noise import noise_sigma
from zcurate.curation.profile.sharpness import sharpness
from zcurate.curation.profile.shrink import shrink, shrink_by_halves
from zcurate.curation.profile.thumbnail import thumbnail
from zcurate.curation.stage import NullMonitor, map_rows
from zcurate.pipelines.stages import embed as embed_stage
from zcurate.pipelines.stages import profile as profile_stage

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
RNG = np.random.default_rng(7)


def scene(seed: int = 0, height: int = 300, width: int = 400) -> np.ndarray:
    """Shapes of many colors with hard edges on a soft field."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 200, (4, 5, 3), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(60):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        color = tuple(int(c) for c in rng.integers(0, 255, 3))
        cv2.rectangle(image, (x, y), (x + int(rng.integers(5, 60)), y + int(rng.integers(5, 60))), color, -1)
    return image


def grey(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def noisy(rgb: np.ndarray, sigma: float) -> np.ndarray:
    return np.clip(rgb + np.random.default_rng(1).normal(0, sigma, rgb.shape), 0, 255).astype(np.uint8)


# --- fingerprints ---------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70))
    | st.builds(
        lambda v, h, w: np.full((h, w), v, np.uint8),
        st.integers(0, 255),
        st.integers(1, 60),
        st.integers(1, 60),
    )
)
def test_phash_is_that_of_imagehash(pixels):
    assert f"{phash64(pixels):016x}" == str(imagehash.phash(Image.fromarray(pixels)))


def test_phash_of_pictures_is_that_of_imagehash():
    pictures = [scene(s) for s in range(20)]
    pictures += [p[:, ::-1] for p in pictures] + [
        np.maximum(p, p[:, ::-1]) for p in pictures
    ]  # mirror: exact zeros
    for p in pictures:
        luma = grey(np.ascontiguousarray(p))
        assert f"{phash64(luma):016x}" == str(imagehash.phash(Image.fromarray(luma)))
        assert phash64(tiny_grey(luma)) == int(str(imagehash.phash(Image.fromarray(tiny_grey(luma)))), 16)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 50), st.integers(1, 50))))
def test_phashes_are_those_of_the_turned_tiny_image(pixels):
    tiny = tiny_grey(pixels)
    square = Image.fromarray(tiny).resize((32, 32), Image.Resampling.LANCZOS)
    turned = [oriented(np.asarray(square), k) for k in range(1, 9)]
    assert [f"{h:016x}" for h in phashes64(tiny)] == [
        str(imagehash.phash(Image.fromarray(t))) for t in turned
    ]
    assert phashes64(tiny)[0] == phash64(tiny)


def test_one_of_the_phashes_is_that_of_the_turned_picture():
    for seed in range(10):
        picture = scene(seed, 512, 640)
        hashes = phashes64(tiny_grey(grey(picture)))
        for orientation in range(1, 9):
            turned = phash64(tiny_grey(grey(oriented(picture, orientation))))
            assert (hashes[orientation - 1] ^ turned).bit_count() <= 4


def test_phash_of_the_small_copy_is_near_that_of_the_picture():
    distances = []
    for seed in range(20):
        picture = scene(seed, 1000, 1500)
        full = int(str(imagehash.phash(Image.fromarray(picture))), 16)
        distances.append((profile_image(simplejpeg.encode_jpeg(picture))["phash"] ^ full).bit_count())
    assert np.mean(distances) <= 2


def test_content_id_is_canonical_xxh3():
    assert content_id(b"abc") == xxhash.xxh3_128(b"abc").digest()
    assert len(content_id(b"")) == 16


# --- signals --------------------------------------------------------------------------------------


def test_shrink_never_enlarges_and_bounds_the_long_side():
    small = np.zeros((100, 120, 3), np.uint8)
    assert shrink(small, 336) is small
    assert shrink(np.zeros((1000, 1500, 3), np.uint8), 300).shape == (300, 450, 3)
    assert shrink(np.zeros((2, 20_000, 3), np.uint8), 256).shape == (1, 2048, 3)
    assert shrink_by_halves(np.zeros((1031, 2103, 3), np.uint8), 256).shape == (257, 525, 3)
    assert shrink_by_halves(np.zeros((511, 600), np.uint8), 256).shape == (511, 600)


def test_shrink_averages():
    noise = np.random.default_rng(0).integers(0, 256, (1100, 1700, 3)).astype(np.uint8)
    for short in (336, 300, 256, 100):
        small = shrink(noise, short)
        assert small.mean() == pytest.approx(noise.mean(), abs=1)
        assert small.std() < noise.std() / 1.8
    ramp = np.repeat(np.linspace(0, 255, 1500).astype(np.uint8)[None, :, None], 1000, axis=0).repeat(
        3, axis=2
    )
    area = cv2.resize(ramp, (504, 336), interpolation=cv2.INTER_AREA)
    assert np.abs(shrink(ramp, 336).astype(int) - area).max() <= 1


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 400))
def test_shrink_sizes(height, width, short):
    small = shrink(np.zeros((height, width), np.uint8), short)
    assert min(small.shape) <= max(1, short)
    assert max(small.shape) <= max(1, 8 * short)
    assert small.shape[0] <= height
    assert small.shape[1] <= width


def test_compression_ratio_counts_channels_and_bits():
    assert compression_ratio(100, 50, 3, 8, 1500) == 10.0
    assert compression_ratio(100, 50, 1, 16, 1000) == 10.0
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 65536, (90, 70), np.uint16)).save(file, "PNG")
    values = profile_image(file.getvalue())
    assert values["bit_depth"] == 16
    assert values["compression_ratio"] == pytest.approx(2 * 90 * 70 / len(file.getvalue()))


def test_border_variance():
    image = scene()
    framed = cv2.copyMakeBorder(image, 30, 30, 30, 30, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    letterboxed = cv2.copyMakeBorder(image, 30, 30, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    assert border_variance(framed).pair < 1e-9
    assert border_variance(letterboxed).pair < 1e-9
    sky = image.copy()
    sky[:40] = (150, 180, 220)
    assert border_variance(sky).pair > 200
    assert border_variance(image).pair > 200
    halves = np.zeros((100, 100, 3), np.uint8)
    halves[:, 50:] = 200
    halves[-50:] = 255 - halves[-50:]
    assert border_variance(halves).pair > 1000
    assert border_variance(np.zeros((1, 1, 3), np.uint8)).pair == 0
    sides = border_variance(sky)
    assert sides.top < 1e-9
    assert min(sides.right, sides.bottom, sides.left) > 200


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 150), st.integers(1, 150), st.just(3))))
def test_border_variance_is_the_variance_of_the_pixels(rgb):
    depth = max(1, round(0.02 * min(rgb.shape[:2])))
    strips = [rgb[:depth], rgb[:, -depth:], rgb[-depth:], rgb[:, :depth]]
    top, right, bottom, left = (s.reshape(-1, 3).astype(float) for s in strips)

    def variance(*strips):
        return np.concatenate(strips).var(axis=0).mean()

    found = border_variance(rgb)
    wanted = (min(variance(top, bottom), variance(left, right)), *map(variance, (top, right, bottom, left)))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_reencoded_size_orders_flat_picture_noise():
    flat = reencode_bytes_per_px(np.full((256, 256, 3), 128, np.uint8))
    picture = reencode_bytes_per_px(shrink(scene(), 256))
    noise = reencode_bytes_per_px(RNG.integers(0, 256, (256, 256, 3), np.uint8))
    assert flat < 0.03 < picture < noise


@pytest.mark.parametrize("sigma", [3, 8, 20])
def test_noise_sigma_finds_the_noise(sigma):
    smooth = np.full((400, 400), 128, np.float64) + np.linspace(-60, 60, 400)
    found = noise_sigma(np.clip(smooth + RNG.normal(0, sigma, (400, 400)), 0, 255).astype(np.uint8))
    assert found == pytest.approx(sigma, rel=0.1)


def test_noise_of_tiny_images_is_zero():
    assert noise_sigma(np.zeros((2, 50), np.uint8)) == 0


def test_sharpness_falls_with_blur_and_noise_does_not_hide_it():
    for seed in range(6):
        image = scene(seed)
        sharp = sharpness(grey(shrink(image, 256)))
        blurred = cv2.GaussianBlur(image, (0, 0), 4)
        assert sharpness(grey(shrink(blurred, 256))) < sharp / 5
        assert sharpness(grey(shrink(noisy(blurred, 15), 256))) < sharp / 3
        assert sharpness(grey(shrink(noisy(image, 15), 256))) > sharp / 2
    assert sharpness(np.zeros((4, 90), np.uint8)) == 0


def test_color_cast_grows_with_a_tint():
    image = scene()
    tinted = [np.clip(image * np.array([1 + t, 1, 1 - t]), 0, 255).astype(np.uint8) for t in (0, 0.15, 0.4)]
    casts = [color_cast(t) for t in tinted]
    assert casts[0] < casts[1] < casts[2]
    assert color_cast(np.repeat(grey(image)[..., None], 3, axis=2)) < 0.5
    assert color_cast(np.zeros((9, 9, 3), np.uint8)) == 0


def test_thumbnail():
    jpeg, width, height = thumbnail(scene(0, 700, 1000))
    assert (width, height) == (480, 336)
    assert simplejpeg.decode_jpeg(jpeg).shape == (336, 480, 3)
    assert jpeg == thumbnail(scene(0, 700, 1000))[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (7, 5), (3000, 2), (2048, 2048)])
def test_every_column_for_odd_sizes(size):
    data = simplejpeg.encode_jpeg(RNG.integers(0, 256, (*size, 3), np.uint8))
    values = profile_image(data)
    groups = (PROFILE_SCHEMA, METADATA_SCHEMA, QUALITY_SCHEMA, THUMBS_SCHEMA)
    assert set(values) == {name for schema in groups for name in schema.names}
    assert all(np.isfinite(v) for v in values.values() if isinstance(v, float))
    assert (values["height_px"], values["width_px"]) == size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_signals_are_those_of_the_displayed_image(orientation):
    picture = cv2.copyMakeBorder(scene(3, 640, 800), 40, 0, 80, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    files = []
    for pixels, options in ((picture, {"exif": exif}), (oriented(picture, orientation), {})):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", **options)
        files.append(profile_image(file.getvalue()))
    turned, plain = files
    assert turned["entropy_bits"] == pytest.approx(plain["entropy_bits"], abs=0.1)  # other rows are sampled
    assert (turned["phash"] ^ plain["phash"]).bit_count() <= 2
    for name in ("width_px", "height_px", *(f"frame_{side}_px" for side in SIDES)):
        assert turned[name] == plain[name]
    for name in (
        "border_variance",
        "sharpness",
        "color_cast",
        *(f"border_variance_{side}" for side in SIDES),
    ):
        assert turned[name] == pytest.approx(plain[name], rel=0.1, abs=3)
    assert sorted(plain[f"frame_{side}_px"] for side in SIDES) == [0, 0, 40, 80]


def real_profiles() -> set[bytes]:
    """RGB profiles of real files that are not sRGB."""
    found = set()
    for path in (SHARED / "rapidocr").rglob("*.jpg"):
        with Image.open(path) as image:
            icc = image.info.get("icc_profile")
        if icc and profile_transform(icc, "RGB") is not None:
            found.add(icc)
    return found


def test_icc_profile_is_applied_to_small_copies():
    profiles = real_profiles()
    if not profiles:
        pytest.skip("needs pictures with other profiles than sRGB in ../shared/data")
    every = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    for icc in profiles:
        for pixels in (scene(), every):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG", icc_profile=icc)
            image = decode(file.getvalue())
            exact = image.displayed(image.pixels).astype(int)
            assert np.abs(exact - pixels).max() > 2
            error = np.abs(displayed_small(image, image.pixels) - exact)
            assert error.mean() < 0.5
            assert error.max() <= 16
        thumb = simplejpeg.decode_jpeg(profile_image(file.getvalue())["thumb"]).astype(int)
        assert abs(thumb.mean() - exact.mean()) < abs(pixels.mean() - exact.mean()) / 2 + 1


def test_real_blur_is_measured():
    folder = SHARED / "blur-triplets" / "samples"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data")
    for sharp in folder.glob("*_S.*"):
        scores = {
            f.stem[-1]: profile_image(f.read_bytes())["sharpness"]
            for f in folder.glob(f"{sharp.name.split('_')[0]}_*")
        }
        assert scores["S"] > max(scores["F"], scores["M"])


# --- the stages -----------------------------------------------------------------------------------


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
        def add(self, row, image, small):
            assert image.pixels.shape[:2] == (700, 1000)
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
