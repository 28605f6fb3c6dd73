"""Training conversations: asked as the captioner asks, answered as people left it, and nothing it would refuse."""

import asyncio
import dataclasses
import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.captioner.captioning import Captioner, CaptionOptions
from zcurate.captioner.chat import ChatAnswer, ImagePart
from zcurate.captioner.difference import Difference, Instruction, Side
from zcurate.captioner.difference_asking import describe_pair, load_pack
from zcurate.captioner.ocr.lines import OcrLine
from zcurate.captioner.schema import OcrString
from zcurate.captioner.training.conversations import (
    Conversation,
    ConversationError,
    ImagePath,
    digest_of,
    from_line,
    image_bytes,
    read_split,
    shared_images,
)
from zcurate.captioner.training.pairs import pair_conversations
from zcurate.captioner.training.reviewed import ReviewedCaption, conversations_of, corrected_lettering

from .captioning_runs import png, request
from .good_answers import GOOD


class Model:
    """A model that knows some answers by heart, by the name of the schema asked for."""

    engine, model, placeholder = "test", "a model", False

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def load(self):
        pass

    async def ask(self, asked):
        self.asked.append(asked)
        answer = self.answers[asked.schema_name]
        answer = answer.pop(0) if isinstance(answer, list) else answer
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        return ChatAnswer(text, "stop")

    async def close(self):
        pass


def knowing(name, family="default", **changes):
    """A model that sees a picture with known captions and lettering."""
    place = "box" if family == "qwen3-vl" else "cell"
    ocr = [
        {"text": s.text, "lang": s.lang, "carrier": s.carrier or "", "kind": s.kind, "legible": s.legible}
        | ({"box": [100, 200, 300, 400]} if place == "box" else {"cell": s.cell or "center"})
        for s in GOOD[name]["ocr"]
    ]
    answer = GOOD[name]["answer"] | changes
    return Model(lettering={"ocr": ocr}, captions={"ocr": ocr, **answer})


def captioned(name, family="default", asked=None, **options):
    """(captioner, its model, the record it makes)."""
    options = {"tries": 1, "user_prompts": len(GOOD[name]["answer"]["en"]["user_prompts"])} | options
    captioner = Captioner(knowing(name, family), family, CaptionOptions(**options))
    record = asyncio.run(captioner.caption(asked or request()))
    return captioner, captioner.chat, record


def reviewed(record, asked=None, **fields):
    """The record as people left it: `en={"long": ...}` are corrections."""
    captions = {
        language: dataclasses.replace(getattr(record, language), **fields.get(language, {}))
        for language in ("en", "zh")
        if getattr(record, language)
    }
    proposed = {c: getattr(record, c).long for c in captions}
    return ReviewedCaption(asked or request(), captions, proposed, record.ocr, record.entities, record.plans)


@pytest.mark.parametrize("family", ["default", "qwen2.5-vl", "qwen3-vl"])
@pytest.mark.parametrize("name", sorted(GOOD))
def test_questions_and_answers_are_those_of_captioning(name, family):
    """The very requests, and answers that would make the very record."""
    known = request(text="a tower in Tokyo or Paris", key="Eiffel Tower/1.jpg")
    captioner, model, record = captioned(name, family, known)
    taught, left_out = conversations_of(captioner, reviewed(record, known))
    assert left_out == []
    assert [t.task for t in taught] == ["ocr", "caption"]
    assert [t.request for t in taught] == model.asked
    assert taught[1].no_loss == ("contradicted",)
    by_heart = Model(lettering=taught[0].answer, captions=taught[1].answer)
    again = asyncio.run(Captioner(by_heart, family, captioner.options).caption(known))
    assert (again.en, again.zh, again.ocr, again.plans) == (record.en, record.zh, record.ocr, record.plans)
    assert again.entities == record.entities
    assert again.provenance.failures == ()
    for t in taught:
        value = json.loads(t.answer)
        assert list(value) == t.request.schema["required"]  # fields in the order in which they are asked for


def test_one_call_asks_for_both_at_once():
    captioner, model, record = captioned("poster", one_call=True)
    taught, _ = conversations_of(captioner, reviewed(record))
    assert [t.request for t in taught] == model.asked
    assert [t.task for t in taught] == ["caption"]
    assert list(json.loads(taught[0].answer)) == ["ocr", "contradicted", "entities", "en", "zh"]


def test_one_language_is_asked_for_alone():
    captioner, model, record = captioned("poster", languages=("zh",))
    taught, _ = conversations_of(captioner, reviewed(record))
    assert [t.request for t in taught] == model.asked


def test_the_other_readers_lines_are_shown_where_the_recipe_shows_them():
    known = request(ocr=(OcrLine("SPRING SALE", "latin", 0.9, (0, 0, 1, 1)),), ocr_engine="r")
    captioner, model, record = captioned("poster", asked=known, ocr_hint=True)
    taught, _ = conversations_of(captioner, reviewed(record, known))
    assert taught[0].request == model.asked[0]
    assert "Another reader" in taught[0].request.parts[1]


def test_corrections_are_the_answer():
    captioner, _, record = captioned("cat")
    long = record.en.long.replace("gray tabby", "orange")
    taught, _ = conversations_of(
        captioner, reviewed(record, en={"long": long, "tags": ("cat", "sill", "pot")})
    )
    answer = json.loads(taught[1].answer)
    assert answer["en"]["long"] == long
    assert answer["en"]["tags"] == ["cat", "sill", "pot"]
    assert answer["zh"]["long"] == record.zh.long


def test_corrected_lettering_reaches_the_reading_and_both_languages():
    """The model read SALF, everywhere; a person put it right in both long captions."""
    captioner, _, record = captioned("poster")
    wrong = {"SPRING SALE": "SPRING SALF"}

    def swapped(value):
        if isinstance(value, tuple):
            return tuple(map(swapped, value))
        return value.replace(*next(iter(wrong.items())))

    bad = dataclasses.replace(
        record,
        ocr=tuple(dataclasses.replace(s, text=swapped(s.text)) for s in record.ocr),
        en=dataclasses.replace(record.en, **{k: swapped(v) for k, v in vars(record.en).items()}),
        zh=dataclasses.replace(record.zh, **{k: swapped(v) for k, v in vars(record.zh).items()}),
    )
    fixed = {c: vars(getattr(record, c)) for c in ("en", "zh")}
    taught, left_out = conversations_of(captioner, reviewed(bad, **fixed))
    assert left_out == []
    assert [s["text"] for s in json.loads(taught[0].answer)["ocr"]] == [s.text for s in record.ocr]
    assert "SALF" not in taught[1].answer + str(taught[1].request.parts)
    # Put right in English alone, the Chinese captions contradict the reading: they are not taught.
    taught, left_out = conversations_of(captioner, reviewed(bad, en=fixed["en"]))
    assert set(json.loads(taught[1].answer)) == {"contradicted", "entities", "en"}
    assert left_out == ["zh: quotes"]


STRINGS = [OcrString(t) for t in ("OPEN", "24h", "Bar")]


@pytest.mark.parametrize(
    ("after", "texts"),
    [
        ('A sign “OPEN”, “24h” and “Bar”.', ["OPEN", "24h", "Bar"]),
        ('A sign “0PEN”, “24h” and “Bar”.', ["0PEN", "24h", "Bar"]),
        ('A sign “OPEN” and “Bar”.', ["OPEN", "Bar"]),
        ('A sign.', []),
        ('A sign “OPEN”, “24h”, “Bar” and “Exit”.', None),  # where would it stand?
        ('A sign “OPEN 24h” and “Bar”.', None),  # one of two
    ],
)  # fmt: skip
def test_what_a_changed_caption_says_of_the_lettering(after, texts):
    found = corrected_lettering(STRINGS, "A sign “OPEN”, “24h” and “Bar”.", after)
    assert (None if found is None else [s.text for s in found]) == texts


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"en": {"long": "Sorry, I cannot describe this picture, as an AI language model I must decline to."}}, "en: refusal"),
        ({"en": {"short": "短的中文标题不是英文的"}}, "en: language"),
        ({"en": {"user_prompts": ("a cat",)}}, "en: plans"),
        ({"zh": {"tags": ("猫",)}}, "zh: counts"),
        ({"zh": {"short": "猫<|im_end|>在窗台上"}}, "zh: control token"),
        ({"en": {"short": 'A cat beside a sign that says "CATS".'}}, "en: quotes"),
    ],
)  # fmt: skip
def test_what_the_captioner_would_refuse_is_not_taught(changes, reason):
    captioner, _, record = captioned("cat")
    taught, left_out = conversations_of(captioner, reviewed(record, **changes))
    assert left_out == [reason]
    assert [t.task for t in taught] == ["ocr", "caption"]
    left, kept = reason[:2], {"en": "zh", "zh": "en"}[reason[:2]]
    assert kept in json.loads(taught[1].answer)
    assert left not in json.loads(taught[1].answer)


def test_lettering_that_nobody_placed_is_not_read_out():
    captioner, _, record = captioned("poster")
    strings = (dataclasses.replace(record.ocr[0], cell=None), *record.ocr[1:])
    taught, left_out = conversations_of(captioner, reviewed(dataclasses.replace(record, ocr=strings)))
    assert (left_out, [t.task for t in taught]) == (["ocr: no place"], ["caption"])
    assert conversations_of(captioner, reviewed(dataclasses.replace(record, ocr=None)))[0] == []
    # Cells can be told from boxes, boxes from nothing.
    other = Captioner(Model(), "qwen3-vl", captioner.options)
    assert conversations_of(other, reviewed(record))[1] == ["ocr: no place"]


# -- pairs

SIDES = (
    Side(png(color=(200, 0, 0)), "A red cup stands on a table.", "桌上放着一个红色杯子。", ("CUP",), True),
    Side(png(color=(0, 0, 200)), "A blue cup stands on a table.", "桌上放着一个蓝色杯子。", ("CUP",), True),
)
DIFFERENCES = (Difference("attribute", "the color of the cup", "red", "blue"),)
SAID = Instruction("Make the cup blue.", "把杯子变成蓝色。")


def test_a_pair_is_asked_about_as_it_is_described():
    pack = load_pack()
    listed = {"unchanged": "the table", "differences": [d.row() for d in DIFFERENCES]}
    spoken = [vars(SAID), {"en": "Make the cup red.", "zh": "把杯子变成红色。"}]
    model = Model(pair_analysis=listed, pair_instruction=spoken)
    asyncio.run(describe_pair(model, pack, *SIDES))
    taught, left_out = pair_conversations(pack, *SIDES, "the table", DIFFERENCES, SAID)
    assert left_out == []
    assert [t.task for t in taught] == ["difference", "instruction"]
    assert [t.request for t in taught] == model.asked[:2]
    assert json.loads(taught[0].answer) == listed
    corrected, _ = pair_conversations(pack, *SIDES, "the table", DIFFERENCES, SAID, confirmed=False)
    assert [t.task for t in corrected] == ["instruction"]


@pytest.mark.parametrize(
    ("differences", "said", "reason"),
    [
        ((), SAID, "difference: nothing differs"),
        (DIFFERENCES, Instruction("The cup is blue.", "把杯子变成蓝色。"), "difference: style"),
        ((Difference("attribute", "cup", "", '{"x":1}'),), SAID, "difference: schema"),
    ],
)
def test_pairs_that_would_be_refused(differences, said, reason):
    assert pair_conversations(load_pack(), *SIDES, "", differences, said) == ([], [reason])


# -- files

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20)
said = texts.filter(str.strip)
parts = st.lists(st.one_of(texts, st.builds(ImagePath, said)), max_size=4).map(tuple)
talks = st.builds(
    Conversation, said, texts, parts, said, st.sampled_from(["train", "held_out"]),
    st.floats(0.01, 100), st.lists(texts, max_size=2).map(tuple), st.dictionaries(texts, texts, max_size=2),
)  # fmt: skip


@settings(deadline=None)
@given(talks)
def test_lines_give_the_conversation_back(talk):
    line = talk.to_line()
    assert "\n" not in line
    again = from_line(line)
    assert again == talk
    assert again.id == talk.id == json.loads(line)["id"]


@given(
    st.recursive(
        st.none() | st.integers() | texts, lambda x: st.lists(x) | st.dictionaries(texts, x), max_leaves=8
    )
)
def test_no_line_breaks_the_reader(value):
    for line in (json.dumps(value), json.dumps({"messages": value}), json.dumps({"messages": [{"role": "user", "content": value}, {"role": "assistant", "content": "x"}]})):  # fmt: skip
        with suppress(ConversationError):
            from_line(line)


GOOD_LINE = Conversation("ocr", "s", (ImagePath("images/a.png"), "t"), "{}", "train").to_line()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": 0}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"weight": True}, "weight"),
        ({"split": "test"}, "split"),
        ({"task": " "}, "task"),
        ({"provenance": {"note": "\ud800"}}, "half a character"),
        ({"no_loss": "x"}, "no_loss"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "roles"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": " "}]}, "empty"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}, {"role": "assistant", "content": "x"}]}, "part"),
    ],
)  # fmt: skip
def test_wrong_fields_are_named(change, message, tmp_path):
    (tmp_path / "train.jsonl").write_text(GOOD_LINE + "\n\n" + json.dumps(json.loads(GOOD_LINE) | change))
    with pytest.raises(ConversationError, match=message) as caught:
        read_split(tmp_path, "train")
    assert "train.jsonl, line 3" in str(caught.value)


def test_pictures_stay_in_the_folder(tmp_path):
    folder = tmp_path / "talks"
    (folder / "images").mkdir(parents=True)
    (folder / "images/a.png").write_bytes(png())
    (tmp_path / "secret.png").write_bytes(png())
    (folder / "images/link.png").symlink_to(tmp_path / "secret.png")
    assert image_bytes(folder, "images/a.png") == png()
    asked = from_line(GOOD_LINE).request(folder)
    assert asked.parts == (ImagePart(png()), "t")
    for path in ("../secret.png", str(tmp_path / "secret.png"), "images/link.png"):
        with pytest.raises(ConversationError, match="outside"):
            image_bytes(folder, path)
    with pytest.raises(ConversationError, match="No such file"):
        image_bytes(folder, "images/b.png")
    with pytest.raises(ConversationError, match="review-export"):
        read_split(folder, "train")


def test_a_picture_on_both_sides_is_found(tmp_path):
    a, b = (Conversation("ocr", "", (ImagePath(p),), "x", "train") for p in ("1.png", "2.png"))
    assert shared_images([a], [b]) == []
    assert shared_images([a], [b, a]) == ["1.png"]
    twins = [dataclasses.replace(c, provenance={"content_ids": ["7"]}) for c in (a, b)]
    assert shared_images(twins[:1], twins[1:]) == ["7"]
    (tmp_path / "train.jsonl").write_text(a.to_line())
    first = digest_of(tmp_path)
    (tmp_path / "train.jsonl").write_text(b.to_line())
    assert digest_of(tmp_path) != first
