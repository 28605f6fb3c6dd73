"""The OCR pass: what a second reader may contradict, loops in lists, and pictures read in parts."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zcurate.captioner import packs
from zcurate.captioner.answers import AnswerError
from zcurate.captioner.evidence import Evidence
from zcurate.captioner.ocr.lines import OcrLine
from zcurate.captioner.ocr_pass import CELLS, check_against, json_schema, strings_of
from zcurate.captioner.schema import CaptionError, OcrString
from zcurate.captioner.tiles import cut, join


def seen(*texts, score=0.95) -> Evidence:
    return Evidence(tuple(OcrLine(t, "", score, (0, 0, 1, 1)) for t in texts), "rapidocr")


def items(*texts, **changes):
    return [
        {"text": t, "lang": "en", "carrier": "sign", "cell": "top", "kind": "content"} | changes
        for t in texts
    ]


words = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12)


@given(st.lists(words, max_size=8))
def test_a_model_that_reads_what_the_other_reader_read_is_never_doubted(texts):
    strings, warnings = strings_of(items(*texts, kind="watermark"), seen(*texts))
    assert [s.text for s in strings] == texts
    assert warnings == []
    assert check_against(strings, seen(*texts)) == ()


@pytest.mark.parametrize(
    ("evidence", "texts"),
    [
        (("Starbuks Coffe", "OPEN"), ("Starbucks Coffee", "OPEN")),  # characters confused
        (("招商银行", "CHINA MERCHANTS"), ("招商银行", "CHINA MERCHANTS BANK")),  # both languages on the sign
        (("営業中",), ("営業中", "ラーメン一番")),  # kana that the other reader missed
        (("福",), ("福", "Happy New Year 2024")),  # Latin that it missed beside Han
        (("SALE", "50%"), ("SALE", "50%", "تخفيضات")),  # a script that it cannot read
        ((), ("Grand Hotel", "大酒店")),  # it read nothing
        (("2024", "12:30"), ("2024", "12:30", "Monday")),
        (("春",), ("spring",)),  # a lone character is too little to contradict anything
    ],
)
def test_honest_readings_are_not_called_translated(evidence, texts):
    assert seen(*evidence).translated(texts) == ""


@pytest.mark.parametrize(
    ("evidence", "texts"),
    [
        (("春季大促销",), ("Spring sale",)),
        (("欢迎光临", "全场五折"), ("Welcome", "Half price on everything")),
        (("Grand Opening", "Free Entry"), ("盛大开业", "免费入场")),
        (("СКИДКИ", "РАСПРОДАЖА"), ("Sale", "Discounts")),
        (("欢迎光临",), ("欢迎光临（Welcome）",)),
    ],
)
def test_translations_are_found(evidence, texts):
    assert seen(*evidence).translated(texts)


def test_a_doubtful_second_reader_contradicts_nothing():
    assert seen("春季大促销", "全场七折", score=0.6).translated(["Spring sale"]) == ""
    assert Evidence().translated(["Spring sale"]) == ""
    strings, _ = strings_of(items("getty images", kind="watermark"), Evidence())
    assert check_against(strings, Evidence()) == (), "nobody else looked"


def test_contradictions_worth_another_call():
    with pytest.raises(AnswerError, match="watermark"):
        check_against([OcrString("getty images", kind="watermark")], seen("SALE"))
    with pytest.raises(AnswerError, match="lettering"):
        check_against([], seen("Milk 1.20", "Bread 2.50", "Eggs 3.10"))
    assert check_against([OcrString("Milk 1.20")], seen("Milk 1.20", "Bread 2.50")) == ("ocr_missed: 1",)


def test_lists_that_loop_and_lists_that_repeat():
    with pytest.raises(AnswerError, match="repetition"):
        strings_of(items("HEAD", *["SALE"] * 12), Evidence())
    with pytest.raises(AnswerError, match="repetition"):
        strings_of(items("HEAD", *["Latte", "4.50"] * 8), seen("HEAD", "Latte", "4.50"))
    shelf = ["HEAD", *["SALE"] * 12]
    assert len(strings_of(items(*shelf), seen(*shelf))[0]) == 13
    assert len(strings_of(items("A", *["THANK YOU"] * 2), Evidence())[0]) == 3
    with pytest.raises(AnswerError, match="repetition"):
        strings_of(items("ha " * 200), Evidence())


def test_items_of_odd_shapes():
    strings, warnings = strings_of(["SALE", {"text": " 50% "}, {"text": ""}], Evidence())
    assert [(s.text, s.lang) for s in strings] == [("SALE", "en"), ("50%", "und")]
    assert warnings == []
    for wrong in (None, {}, [3], [{"txt": "x"}], [{"text": 5}]):
        with pytest.raises(AnswerError, match="schema"):
            strings_of(wrong, Evidence())
    boxes = [[0, 0, 1000, 1000], [0, 0, 1001, 10], [5, 5, 5, 9], ["a"] * 4, "x", [float("nan")] * 4, None]
    found = [strings_of([{"text": "T", "box": b, "cell": "north"}], Evidence())[0][0] for b in boxes]
    assert [f.box is not None for f in found] == [True] + [False] * 6
    assert [f.cell for f in found] == ["center"] + [None] * 6


def test_the_shape_of_the_answer_follows_the_pack():
    for family, place in (("default", "cell"), ("qwen2.5-vl", "cell"), ("qwen3-vl", "box")):
        item = json_schema(packs.load("ocr", family))["properties"]["ocr"]["items"]["properties"]
        assert [k for k in ("cell", "box") if k in item] == [place]
        assert next(iter(item)) == "text"


def picture(size) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (9, 9, 9)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(300, 300), (300, 900), (900, 300), (2, 3), (1, 1), (7, 2)])
def test_parts_cover_the_picture_and_overlap(size):
    parts = cut(picture(size))
    boxes = [box for _, box in parts]
    axis = 0 if size[0] >= 2 * size[1] else 1
    assert boxes[0][axis] == 0
    assert boxes[-1][axis + 2] == pytest.approx(1)
    assert all(a[axis + 2] > b[axis] for a, b in zip(boxes, boxes[1:], strict=False))
    for data, box in parts:
        with Image.open(io.BytesIO(data)) as image:
            assert image.size[1 - axis] == size[1 - axis]
            assert image.size[axis] == pytest.approx((box[axis + 2] - box[axis]) * size[axis], abs=1)
    with pytest.raises(CaptionError, match="decoded"):
        cut(b"no picture")


@given(st.integers(1, 40), st.integers(0, 5), st.data())
def test_readings_of_overlapping_parts_are_joined(count, overlap, data):
    texts = [f"row {i}" for i in range(count)]
    first = data.draw(st.integers(0, count))
    second = data.draw(st.integers(first, count))
    parts = [texts[:first], texts[max(0, first - overlap) : second], texts[max(first, second - overlap) :]]
    boxes = [box for _, box in cut(picture((10, 30)))]
    placed = [
        ([OcrString(t, cell="center", box=(0.0, 0.4, 1.0, 0.6)) for t in p], b)
        for p, b in zip(parts, boxes, strict=True)
    ]
    joined = join(placed)
    assert [s.text for s in joined] == texts
    assert all(s.cell in CELLS and 0 <= s.box[1] < s.box[3] <= 1 for s in joined)
