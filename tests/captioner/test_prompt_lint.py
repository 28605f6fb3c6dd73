"""What the linter of prompts says, in both languages and for both models."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.captioner.prompt_lint import PARTS, SEVERITIES, lint

GOOD = (
    "A documentary portrait of an elderly fisherman in a faded blue work shirt mending nets on a wooden dock at dawn, "
    "looking down with a calm expression. Shot on Leica M11 with 50mm lens at f/2. Soft golden light from the left, misty "
    "harbor behind. Contemplative, quiet dignity."
)
GOOD_ZH = (
    "一张纪实人像照片：一位穿着褪色蓝色工作服的老渔夫坐在清晨的木码头上补渔网，目光平静。徕卡M11，50mm 镜头，f/2 光圈，"
    "左侧柔和的金色晨光，背景是有雾的港口，氛围宁静。"
)


def rules(prompt, **options):
    return {f.rule for f in lint(prompt, **options).findings}


@pytest.mark.parametrize("prompt", [GOOD, GOOD_ZH])
def test_a_whole_prompt_lacks_nothing(prompt):
    report = lint(prompt)
    assert all(report.parts[p] for p in PARTS if p != "negative"), report.parts
    assert report.worst in ("", "tip"), report.findings


@pytest.mark.parametrize("prompt", ["a woman in a park", "公园里的女人"])
def test_a_bare_prompt_lacks_most(prompt):
    assert {
        "missing-intent",
        "missing-camera",
        "missing-lighting",
        "missing-mood",
        "vague-subject",
        "too-short",
    } <= rules(prompt)


def test_messages_are_in_the_language_of_the_prompt():
    assert lint("公园里的女人").findings[0].message.strip("。")[0] > "\u4e00"
    assert lint("a woman in a park").findings[0].message.isascii()


@pytest.mark.parametrize("given_as", ["line", "option"])
def test_negative_prompts_do_nothing_for_turbo(given_as):
    words = "blurry, extra fingers"
    prompt, option = (f"{GOOD}\nNegative: {words}", "") if given_as == "line" else (GOOD, words)
    turbo = lint(prompt, "turbo", option)
    assert "negative-turbo" in {f.rule for f in turbo.findings}
    assert turbo.negative == words
    assert "guidance 0" in next(f.message for f in turbo.findings if f.rule == "negative-turbo")
    base = lint(prompt, "base", option)
    assert not {"negative-turbo", "missing-negative", "negation"} & {f.rule for f in base.findings}
    assert "missing-negative" in rules(GOOD, model="base")
    assert "missing-negative" not in rules(GOOD)


@pytest.mark.parametrize(
    ("prompt", "rule"),
    [
        (GOOD + " There are no boats.", "negation"),
        (GOOD_ZH + "画面中没有船。", "negation"),
        (GOOD + " A 5-second video, the camera pans left.", "video"),
        (GOOD_ZH + "镜头缓缓推进的视频。", "video"),
        (GOOD + " A sign that reads fresh fish.", "unquoted-text"),
        (GOOD_ZH + "木牌上写着今日鲜鱼。", "unquoted-text"),
        (GOOD + ' A sign that reads "РЫБА".', "text-script"),
        (GOOD + " Masterpiece, 8K.", "praise"),
        (GOOD + " In the style of an anime illustration.", "style-mixed"),
        ("An oil painting of a red barn in a green field in soft evening light from the left", "style-range"),
        ("A pianist playing the piano with nimble fingers in a dark hall, editorial photo, 85mm", "hands"),
        ("Commercial product photo of a perfume bottle in a studio, soft light", "vague-product"),
        ("Editorial photo of a red car in a street, soft light, shot with a 35mm lens", "camera-details"),
        ("A photo of a red car in a street, shot on Nikon Z9, 35mm, f/2, evening", "bare-intent"),
    ],
)
def test_each_mistake_is_named(prompt, rule):
    assert rule in rules(prompt)


def test_a_right_prompt_has_none_of_them():
    assert not rules(GOOD) & {
        *(
            "negation",
            "video",
            "unquoted-text",
            "text-script",
            "praise",
            "style-mixed",
            "style-range",
            "hands",
            "too-short",
        ),
        *("vague-subject", "camera-details", "negative-turbo"),
    }


def test_art_needs_no_camera():
    assert not rules("水墨画，一叶扁舟停在湖面上，远山，淡墨，清晨的薄雾和柔光") & {
        "missing-camera",
        "missing-intent",
        "style-drift",
    }


def test_labels_of_the_template_fill_their_parts():
    report = lint(
        "[INTENT]: Fashion\n[SUBJECT]: a model in a red coat\n[MOOD]: tense\n[NEGATIVE]: blur", "base"
    )
    assert report.parts["intent"] == "Fashion"
    assert report.parts["mood"] == "tense"
    assert report.negative == "blur"


def test_an_unknown_model_is_refused():
    with pytest.raises(ValueError, match="turbo, base"):
        lint("a cat", "sdxl")


@given(st.text(max_size=200), st.sampled_from(("turbo", "base")), st.text(max_size=20))
def test_any_text_is_looked_over(prompt, model, negative):
    report = lint(prompt, model, negative)
    order = [SEVERITIES.index(f.severity) for f in report.findings]
    assert order == sorted(order, reverse=True)
    assert all(f.message and f.fix for f in report.findings)
    json.dumps(report.facts())


@pytest.mark.parametrize(
    ("prompt", "photographic"),
    [
        ("a painting of a sports car in the style of Monet", False),
        ("a woodcut of a fox", False),
        ("一幅绘画，山间的小屋", False),
        ("a man painting a wall, editorial photo, 35mm", True),
        ("a robot on a brick wall", True),
    ],
)
def test_no_camera_is_asked_for_where_nothing_is_photographed(prompt, photographic):
    report = lint(prompt)
    assert report.photographic is photographic
    rules = {f.rule for f in report.findings}
    assert photographic or not rules & {"missing-camera", "missing-intent", "style-drift"}
