"""Caption records, alt text cleaning, color names and the template engine."""

import dataclasses
import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from zcurate.captioner.alt_text import MAX_CHARS, clean, keywords_of, name_from
from zcurate.captioner.colors import COLORS, color_index, shares, srgb_to_lab
from zcurate.captioner.engines import CaptionRequest
from zcurate.captioner.facts import measure
from zcurate.captioner.lexicon import chinese_to_english, english_to_chinese, entry_of, things_in
from zcurate.captioner.ocr.lines import OcrLine
from zcurate.captioner.schema import ARROW_SCHEMA, CaptionError, language_share, validate
from zcurate.captioner.subject import class_label
from zcurate.captioner.template import TemplateEngine


def jpeg(color=(200, 30, 40), size=(120, 160)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def request(**changes) -> CaptionRequest:
    values = {"sample_id": bytes(16), "image": jpeg(), "width_px": 1200, "height_px": 1600}
    return CaptionRequest(**(values | changes))


def line(text, box=(0.1, 0.1, 0.5, 0.3), kind="content") -> OcrLine:
    return OcrLine(text, "latin", 0.9, box, kind)


ENGINE = TemplateEngine()


def test_captions_state_what_is_measured_and_attribute_the_rest():
    record = ENGINE.caption(
        request(text="red running shoe", origin="camera", ocr=(line("SALE"), line("© Ann", kind="watermark")))
    )
    assert record.placeholder
    assert record.engine == "template"
    assert "vertical 3:4 photo" in record.en.long
    assert "red running shoe" in record.en.long
    assert "Red covers almost all of the picture" in record.en.long.replace(
        "Almost all of the picture is red", "Red covers almost all of the picture"
    )
    assert '"SALE"' in record.en.long
    assert "“SALE”" in record.zh.long
    assert 'watermark reads "© Ann"' in record.en.long
    assert "© Ann" not in record.en.short + record.zh.short
    assert "红色" in record.zh.long
    assert "竖幅照片" in record.zh.long
    assert set(record.row()) == set(ARROW_SCHEMA.names)


def test_same_request_same_record_and_the_seed_matters():
    wanted = request(text="a boat on the lake", ocr=(line("Lake 7"),))
    assert ENGINE.caption(wanted) == ENGINE.caption(wanted)
    prompts = {ENGINE.caption(dataclasses.replace(wanted, seed=s)).en.user_prompts for s in range(20)}
    assert len(prompts) > 5


def test_simulated_prompts_are_mostly_incomplete():
    with_all = total = 0
    for i in range(60):
        record = ENGINE.caption(
            request(sample_id=i.to_bytes(16, "big"), text="Old Lighthouse", ocr=(line("SALE"),))
        )
        for prompt in record.en.user_prompts:
            total += 1
            known = (
                ("lighthouse" in prompt.lower())
                + ("red" in prompt)
                + ("SALE" in prompt)
                + ("vertical" in prompt)
            )
            with_all += known >= 3
    assert total >= 150
    assert with_all == 0


# Any text may come out of OCR or stand in alt text; no caption may break or alter it.
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, max_size=12), st.none() | st.text(max_size=300), st.none() | st.text(max_size=60))
@example(['say "hi"', "“引号”", "«x»"], '<b>x</b> "quoted" http://a.b/c.jpg', "الصورة")
@example(
    ["x" * 3000, "y" * 3000], "Привет мир большая картина", "Sony 索尼 WH Wireless 降噪耳机 Noise Cancelling"
)
def test_any_input_gives_a_valid_record_with_exact_lettering(strings, alt, title):
    found = tuple(line(s, (0.1, 0.05 * i, 0.4, 0.05 * i + 0.04)) for i, s in enumerate(strings))
    record = ENGINE.caption(request(text=alt, metadata={"title": title}, ocr=found))
    quoted = [s for s in strings if f'"{s}"' in record.en.long and f"“{s}”" in record.zh.long]
    assert quoted == strings or sum(map(len, strings)) > 3900
    assert all(f"“{s}”" not in record.en.long or "“" in "".join(strings) for s in strings)


def test_long_language_share_is_checked():
    record = ENGINE.caption(request())
    wrong = dataclasses.replace(
        record, zh=dataclasses.replace(record.zh, short="A red picture of nothing at all")
    )
    with pytest.raises(CaptionError, match="zh_short"):
        validate(wrong)
    repeated = dataclasses.replace(record, en=dataclasses.replace(record.en, tags=("Red", "red")))
    with pytest.raises(CaptionError, match=r"en_tags.*unique"):
        validate(repeated)
    with pytest.raises(CaptionError, match="does not quote"):
        validate(record, ["MISSING"])
    assert language_share('写着"SALE NOW"的红色招牌', "zh") == 1.0


def test_undecodable_thumbnail_is_a_typed_error():
    with pytest.raises(CaptionError, match=r"thumbs\.thumb"):
        ENGINE.caption(request(image=b"not an image"))


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("A photo of a red bicycle leaning on a wall - Stock Photo", "red bicycle leaning on a wall"),
        ("<p>Blue&nbsp;vase</p> | Some Shop", "Blue vase"),
        ("IMG_20210304.jpg", None),
        ("https://example.com/a.png", None),
        ("DSC01234", None),
        ("a1b2c3d4e5f6a7b8c9d0", None),
        ("image", None),
        ("Woman's hat, royalty free", "Woman's hat"),
        ("高清素材免费下载 山水画", "山水画"),
        ('The "Old" Mill', "The Old Mill"),
    ],
)
def test_clean(raw, cleaned):
    result = clean(raw)
    assert (
        result == cleaned if cleaned is None else result.removeprefix("a ").casefold() == cleaned.casefold()
    )


@given(st.text(max_size=600))
def test_clean_is_bounded_and_stable_in_form(text):
    result = clean(text)
    assert result is None or (0 < len(result) <= MAX_CHARS and '"' not in result and result == result.strip())


def test_roles_and_keywords():
    assert name_from("a man rowing a boat across the lake").role == "description"
    assert name_from("Sunset Over Lake Como").role == "title"
    assert keywords_of({"tags": "boat, lake ; 山水"}) == ["boat", "lake", "山水"]


def test_class_label_needs_a_known_folder_or_a_field():
    assert class_label(None, "train/hat/0001") == "hat"
    assert class_label(None, "a/longsleeve/x") == "long-sleeved shirt"
    assert class_label(None, "train/batch_07/x") is None
    assert class_label({"class": "Shoes"}, "x") == "shoe"


def test_lexicon_folds_both_ways():
    assert all(chinese_to_english()[zh.lower()] == en for en, zh in english_to_chinese().items())
    assert entry_of("T-Shirts") == entry_of("tee") == entry_of("T恤") == "t-shirt"
    assert things_in("Two dogs and a bicycle near the lighthouse") == ["dog", "bicycle"]
    assert things_in("公园里的红绿灯和自行车") == ["park", "traffic light", "bicycle"]


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((255, 255, 255), "white"),
        ((0, 0, 0), "black"),
        ((220, 20, 20), "red"),
        ((30, 90, 200), "blue"),
        ((128, 128, 128), "gray"),
        ((60, 160, 60), "green"),
        ((120, 70, 40), "brown"),
        ((250, 160, 190), "pink"),
    ],
)
def test_color_names(rgb, name):
    index = color_index(srgb_to_lab(np.full((4, 4, 3), rgb, np.uint8)))
    assert shares(index) == [(name, 1.0)]
    assert COLORS[name][0]


def test_lab_of_white_and_facts_of_a_split_picture():
    assert srgb_to_lab(np.array([255, 255, 255])) == pytest.approx([100, 0, 0], abs=0.02)
    picture = np.zeros((90, 120, 3), np.uint8)
    picture[:30], picture[30:] = (120, 180, 230), (20, 60, 25)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    facts = measure(buffer.getvalue(), 120, 90, sharpness=2.0)
    assert (facts.shape, facts.aspect, facts.focus) == ("horizontal", "4:3", "soft")
    assert facts.bands == ("light blue", "dark green", "dark green")


@given(
    st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=6),
    st.integers(40, 200),
    st.integers(40, 200),
)
@settings(max_examples=40, deadline=None)
def test_any_picture_without_words_gives_a_valid_record(colors, width, height):
    pixels = np.zeros((height, width, 3), np.uint8)
    for i, color in enumerate(colors):
        pixels[i * height // len(colors) :] = color
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG", quality=90)
    record = ENGINE.caption(
        request(
            image=sink.getvalue(), width_px=width, height_px=height, text=None, metadata=None, key="x", ocr=()
        )
    )
    assert record.en.long
    assert record.zh.long
