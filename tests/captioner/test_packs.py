"""Prompt packs: every pack of the library loads for every family, and a broken one says what is wrong."""

import re

import pytest
import yaml

from zcurate.captioner import packs
from zcurate.captioner.packs import DIRECTORY, FAMILIES, PackError, family_of, load
from zcurate.captioner.prompt_plans import ELEMENTS, REGISTERS, draw_plans, told

NAMES = sorted(p.stem for p in DIRECTORY.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_pack_loads_for_every_family(name, family):
    prompt = load(name, family)
    assert re.fullmatch("[0-9a-f]{64}", prompt.sha)
    assert prompt.system
    assert prompt == load(name, family)


def write(folder, **changes):
    data = {
        "name": "greet",
        "version": 1,
        "texts": {"system": "Be kind.", "user": 'Greet {person} as {"json": 1}.', "note": "By {who}"},
        "families": {"qwen3-vl": {"user": "Hi {person}!"}},
    }
    (folder / "greet.yaml").write_text(
        yaml.safe_dump({k: v for k, v in (data | changes).items() if v is not None})
    )
    return folder


def test_filling_refuses_missing_and_unknown_values_and_fills_once(tmp_path):
    prompt = load("greet", directory=write(tmp_path))
    assert prompt.fill(person="{who} {person}") == 'Greet {who} {person} as {"json": 1}.'
    assert prompt.section("note", who="me") == "By me"
    with pytest.raises(PackError, match="person"):
        prompt.fill()
    with pytest.raises(PackError, match="extra"):
        prompt.fill(person="x", extra="y")
    with pytest.raises(PackError, match="nothing"):
        prompt.section("nothing")


def test_the_hash_follows_the_texts_a_family_sees(tmp_path):
    first = {f: load("greet", f, write(tmp_path)).sha for f in FAMILIES}
    assert first["default"] == first["qwen2.5-vl"] != first["qwen3-vl"]
    again = {f: load("greet", f, write(tmp_path, version=2)).sha for f in FAMILIES}
    assert again == first, "a number alone changes no prompt"
    other = write(tmp_path, families={"qwen3-vl": {"user": "Hello {person}!"}})
    changed = {f: load("greet", f, other).sha for f in FAMILIES}
    assert changed["qwen3-vl"] != first["qwen3-vl"]
    assert changed["default"] == first["default"], "rows of another family need no new captions"


def test_own_packs_replace_those_of_the_library_file_by_file(tmp_path):
    assert load("ocr", directory=write(tmp_path)) == load("ocr")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "other"}, "name"),
        ({"version": 0}, "version"),
        ({"version": True}, "version"),
        ({"texts": {"user": "x"}}, r"texts\.system"),
        ({"texts": {"system": "for {person}", "user": "x"}, "families": None}, "placeholder"),
        ({"texts": {"system": "x", "user": 3}}, r"texts\.user"),
        ({"families": {"gpt": {"user": "x"}}}, r"families\.gpt"),
        ({"families": {"qwen3-vl": {"usr": "x"}}}, "usr"),
        ({"more": 1}, "more"),
    ],
)
def test_a_broken_pack_says_what_is_wrong(tmp_path, changes, problem):
    with pytest.raises(PackError, match=problem):
        load("greet", directory=write(tmp_path, **changes))


def test_missing_files_and_unknown_families(tmp_path):
    with pytest.raises(PackError, match="cannot be read"):
        load("nothing")
    with pytest.raises(PackError, match="family"):
        load("ocr", "gpt")
    with pytest.raises(PackError, match="name"):
        load("../ocr")
    (tmp_path / "greet.yaml").write_text("a: [")
    with pytest.raises(PackError, match="YAML"):
        load("greet", directory=tmp_path)


def test_families_by_model_name():
    assert family_of("Qwen/Qwen3-VL-8B-Instruct") == "qwen3-vl"
    assert family_of("qwen2.5-vl-7b-instruct-awq at localhost:8000") == "qwen2.5-vl"
    assert family_of("/models/Qwen2_5-VL-3B") == "qwen2.5-vl"
    assert family_of("InternVL3") == "default"
    assert set(packs.FAMILIES) == {"default", "qwen2.5-vl", "qwen3-vl"}


def test_plans_are_reproducible_varied_and_mostly_incomplete():
    drawn = [draw_plans(i.to_bytes(16, "big"), 0, ("en", "zh"), 3, True) for i in range(300)]
    assert drawn == [draw_plans(i.to_bytes(16, "big"), 0, ("en", "zh"), 3, True) for i in range(300)]
    plans = [p for row in drawn for p in row]
    assert all([p.language for p in row] == ["en"] * 3 + ["zh"] * 3 for row in drawn)
    assert all(len(set(row)) == 6 for row in drawn)
    sizes = [len(p.keep) for p in plans]
    assert max(sizes) == 3
    assert sum(s <= 2 for s in sizes) / len(sizes) > 0.8
    assert {r for p in plans for r in (p.register,)} == set(REGISTERS)
    assert {e for p in plans for e in p.keep} == set(ELEMENTS)
    assert 0.6 < sum("subject" in p.keep for p in plans) / len(plans) < 0.9
    silent = draw_plans(bytes(16), 0, ("en",), 8, False)
    assert len(silent) == 8
    assert not any("text" in p.keep for p in silent)
    assert told(drawn[0]).count("\n") == 5
