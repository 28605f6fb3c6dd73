"""OCR on rendered text and, where present, on real text images."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont, ImageOps

from zcurate.captioner.ocr import OcrError, OcrLine, large, mark_watermarks, rapid, reading_order, script_of
from zcurate.captioner.ocr.rapid import RapidOcr
from zcurate.captioner.ocr.text_gate import TextGate

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def ocr() -> RapidOcr:
    engine = RapidOcr()
    engine.load()
    return engine


def page(*texts: str, size_px: int = 36, width: int = 640, height: int = 400) -> np.ndarray:
    image = Image.new("RGB", (width, height), (236, 232, 220))
    draw = ImageDraw.Draw(image)
    for i, text in enumerate(texts):
        draw.text((40, 40 + 90 * i), text, font=ImageFont.load_default(size_px), fill=(30, 30, 60))
    return np.asarray(image)


def test_reads_rendered_lines_in_order_with_places(ocr):
    lines = ocr.read(page("Harbor Street 42", "Open daily", "Fresh bread"))
    assert [line.text for line in lines] == ["Harbor Street 42", "Open daily", "Fresh bread"]
    assert all(line.kind == "content" and line.script == "latin" for line in lines)
    x0, y0, x1, y1 = lines[0].box
    assert x0 == pytest.approx(40 / 640, abs=0.03)
    assert 40 / 400 - 0.03 < y0 < y1 < 100 / 400


def test_no_text_no_lines_and_bad_input(ocr):
    assert ocr.read(np.full((300, 300, 3), 127, np.uint8)) == []
    with pytest.raises(OcrError, match="uint8"):
        ocr.read(np.zeros((10, 10), np.uint8))


def test_extreme_shapes_are_bounded(ocr):
    for shape in ((1, 1, 3), (3000, 4, 3), (4, 3000, 3), (40, 400, 3)):
        ocr.read(np.full(shape, 200, np.uint8))


def test_same_pixels_same_lines(ocr):
    image = page("Quiet Lake", "No. 7")
    assert ocr.read(image) == ocr.read(image.copy())


def test_missing_or_altered_model_is_refused(monkeypatch):
    monkeypatch.setitem(rapid.MODEL_FILES, "Det", ("no_such.onnx", "0" * 64))
    with pytest.raises(OcrError, match=r"no_such\.onnx is missing.*pip install"):
        RapidOcr().load()
    monkeypatch.setitem(rapid.MODEL_FILES, "Det", (rapid.MODEL_FILES["Cls"][0], "0" * 64))
    with pytest.raises(OcrError, match="SHA-256 differs"):
        RapidOcr().load()


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("山水之间", "han"),
        ("Open 24 hours", "latin"),
        ("ありがとう山", "kana"),
        ("안녕하세요", "hangul"),
        ("Привет", "cyrillic"),
        ("027-88852022", "digits"),
        ("2a", "latin"),
        ("…!", "other"),
        ("สวัสดี", "other"),
    ],
)
def test_script(text, script):
    assert script_of(text) == script


boxes = st.tuples(*[st.floats(0, 0.9) for _ in range(2)], *[st.floats(0.01, 0.1) for _ in range(2)])


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), boxes), max_size=12), st.randoms())
def test_reading_order_is_a_permutation_and_ignores_input_order(items, random):
    lines = [OcrLine(t, "latin", 1.0, (x, y, x + w, y + h)) for t, (x, y, w, h) in items]
    ordered = reading_order(lines)
    assert sorted(map(repr, ordered)) == sorted(map(repr, lines))
    shuffled = list(lines)
    random.shuffle(shuffled)
    assert reading_order(shuffled) == ordered


def test_rows_read_across():
    at = {"a": (0.1, 0.10), "b": (0.6, 0.12), "c": (0.1, 0.3), "d": (0.6, 0.28)}
    lines = [OcrLine(t, "latin", 1.0, (x, y, x + 0.2, y + 0.08)) for t, (x, y) in at.items()]
    assert [line.text for line in reading_order(lines[::-1])] == ["a", "b", "c", "d"]


def at(text: str, x: float, y: float, w: float = 0.3, h: float = 0.03) -> OcrLine:
    return OcrLine(text, script_of(text), 1.0, (x, y, x + w, y + h))


def test_columns_of_text_are_read_down_and_headlines_between_them():
    left = [at(f"the left column line {i}", 0.05, 0.2 + 0.05 * i) for i in range(4)]
    middle = [at(f"中间一栏的第{i}行文字", 0.38, 0.21 + 0.05 * i, w=0.25) for i in range(4)]
    right = [at(f"the right column line {i}", 0.68, 0.19 + 0.05 * i) for i in range(4)]
    title, foot = at("A headline over all", 0.1, 0.05, w=0.8, h=0.08), at("and a foot line", 0.2, 0.5, w=0.6)
    page = [title, *left, *middle, *right, foot]
    assert reading_order(page[::-1]) == page


def test_tables_are_read_across_and_vertical_chinese_from_the_right():
    rows = [
        (at(f"a dish with a long name {i}", 0.05, 0.1 * i), at(f"{i}.50", 0.8, 0.1 * i, w=0.1))
        for i in range(6)
    ]
    assert reading_order([cell for row in rows for cell in row][::-1]) == [
        cell for row in rows for cell in row
    ]
    vertical = [at(f"竖排的第{i}列文字", x, 0.1, w=0.05, h=0.6) for i, x in enumerate((0.8, 0.6, 0.4))]
    assert reading_order(vertical[::-1], aspect=0.75) == vertical
    # The same boxes on a very wide page are no columns of characters.
    assert reading_order(vertical, aspect=20) == vertical[::-1]


def test_spaces_survive_a_busy_ground(ocr):
    image = page("COPPER HOTEL", "77 km", "keeping this beach clean", size_px=28)
    noise = np.random.default_rng(1).integers(-20, 20, image.shape)
    lines = ocr.read(np.clip(image + noise, 0, 255).astype(np.uint8))
    assert [line.text for line in lines] == ["COPPER HOTEL", "77 km", "keeping this beach clean"]


def test_watermarks():
    def line(text, x=0.1, y=0.1):
        return OcrLine(text, "latin", 1.0, (x, y, x + 0.1, y + 0.05))

    kinds = [
        s.kind for s in mark_watermarks([line("© Jane Doe"), line("WWW.photo.example"), line("Fresh bread")])
    ]
    assert kinds == ["watermark", "watermark", "content"]
    tiled = mark_watermarks([line("PREVIEW", x, y) for x in (0.1, 0.6) for y in (0.2, 0.7)])
    assert {s.kind for s in tiled} == {"watermark"}
    column = mark_watermarks([line("total", 0.1, y) for y in (0.1, 0.3, 0.5, 0.7)])
    assert {s.kind for s in column} == {"content"}


def test_gate_passes_text_and_stops_smooth_pictures():
    gate = TextGate()
    assert gate(page("Harbor Street 42", "Open daily")).has_text
    assert gate(255 - page("Small print on a large sheet", size_px=14, width=1400, height=1400)).has_text
    y, x = np.mgrid[0:400, 0:500]
    smooth = np.stack([x * 0.4, y * 0.5, 120 + 60 * np.sin(x / 90)], axis=-1).astype(np.uint8)
    assert not gate(smooth).has_text
    with pytest.raises(ValueError, match="uint8"):
        gate(np.zeros((50, 50, 3), np.float32))


def test_real_images_with_known_strings(ocr):
    folder = SHARED / "rapidocr"
    if not folder.exists():
        pytest.skip("the shared rapidocr images are not here")
    for name, expected in json.loads((folder / "truth.json").read_text()).items():
        rgb = np.asarray(ImageOps.exif_transpose(Image.open(folder / "test_files" / name)).convert("RGB"))
        lines = ocr.read(rgb)
        if "lines" in expected:
            assert len(lines) == expected["lines"], name
        if "first" in expected:
            assert lines[0].text == expected["first"], name


def test_small_print_on_a_very_large_sheet_is_read_in_parts(ocr):
    sheet = np.full((5200, 3600, 3), 250, np.uint8)
    sheet[300:700, 300:940] = page("Harbor Street 42", size_px=60)
    places = [(2600, 80), (2650, 2900), (4950, 1500), (80, 2800), (3700, 1900)]
    wanted = [f"Fine print number {i}" for i in range(len(places))]
    for text, (y, x) in zip(wanted, places, strict=True):
        sheet[y : y + 100, x : x + 500] = page(text, size_px=28, width=500, height=100)
    read = [line.text for line in ocr.read(sheet)]
    assert sorted(read) == sorted(["Harbor Street 42", *wanted])


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(64, 4000))
def test_parts_cover_the_picture(width, height, side):
    cuts = large.parts(width, height, side)
    for axis, length in ((0, width), (1, height)):
        spans = sorted({(cut[axis], cut[axis + 2]) for cut in cuts})
        if not spans:
            continue
        assert (spans[0][0], spans[-1][1]) == (0, length)
        assert all(a[1] > b[0] for a, b in zip(spans, spans[1:], strict=False))
        assert all(stop - start <= side for start, stop in spans)
