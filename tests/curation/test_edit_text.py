"""Rendered text: specs completed by seed, varied with one layout for both sides, drawn without empty boxes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zcurate.curation.edits.checks import changed
from zcurate.curation.edits.encoding import encode_png
from zcurate.curation.edits.scene import Scene
from zcurate.curation.edits.spec import EditSpec, between, canonical
from zcurate.curation.edits.text.contrast import FLOOR, OUTLINED_FLOOR, against, ground_of, luminance, ratio
from zcurate.curation.edits.text.faults import (
    MissingGlyphError,
    PictureTooSmallError,
    TextError,
    TextOverflowError,
    TextSpecError,
)
from zcurate.curation.edits.text.fonts import Face, FontBook, find_fonts, font_of
from zcurate.curation.edits.text.items import checked, rgb_of
from zcurate.curation.edits.text.kit import Kit
from zcurate.curation.edits.text.lettering import Lettering
from zcurate.curation.edits.text.phrase_lists import bundled, language_of, read_phrases, unusable
from zcurate.curation.edits.text.phrase_patterns import composed
from zcurate.curation.edits.text.rendering import render
from zcurate.curation.edits.text.specs import complete, vary
from zcurate.curation.edits.text.surfaces import Placing
from zcurate.curation.errors import SampleError

FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SEEDS = st.integers(0, 10**6)


@pytest.fixture(scope="module")
def kit() -> Kit:
    return Kit(find_fonts(), bundled())


@pytest.fixture(scope="module")
def chinese(kit: Kit) -> Kit:
    try:
        kit.book.covering("清风茶馆")
    except MissingGlyphError:
        pytest.skip("no font with Chinese characters; pip install mplfonts")
    return kit


@pytest.fixture(scope="module")
def english(kit: Kit) -> Kit:
    """Only fonts without Chinese characters; matplotlib brings some."""
    return Kit(FontBook(f for f in kit.book.faces if f.missing("清")), bundled())


def photo(seed: int = 0, height: int = 256, width: int = 320) -> np.ndarray:
    """Soft blobs of color, dark on the left."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (4, 5, 3)) * np.linspace(0.2, 1, 5)[None, :, None]
    rows, columns = np.linspace(0, 3, height), np.linspace(0, 4, width)
    return coarse[np.rint(rows).astype(int)][:, np.rint(columns).astype(int)].astype(np.uint8)


def drawn(kit: Kit, base: np.ndarray, state: dict) -> np.ndarray:
    return Scene("k", base, Lettering(kit).layers).render(state)


@FEW
@given(SEEDS)
def test_whatever_a_seed_completes_fits_is_readable_and_has_its_glyphs(chinese: Kit, seed: int) -> None:
    base, state = complete({}, chinese, seed)
    assert state
    for value in state.values():
        assert checked(value) == value
        assert not chinese.book.face(value["font"]["id"]).missing(value["text"])
        assert chinese.fits(value, base)
        own = float(luminance(np.array(rgb_of(value["color"]), np.uint8)))
        if value["stroke"]:
            edge = float(luminance(np.array(rgb_of(value["stroke"]["color"]), np.uint8)))
            assert ratio(own, edge) >= OUTLINED_FLOOR
        else:
            assert against(rgb_of(value["color"]), ground_of(base, chinese.box(value, base))) >= FLOOR
    again_base, again = complete({}, chinese, seed)
    assert canonical(dict(again)) == canonical(dict(state))
    pictures = [
        encode_png(drawn(chinese, base, dict(state))),
        encode_png(drawn(chinese, again_base, dict(again))),
    ]
    assert pictures[0] == pictures[1]


@FEW
@given(
    SEEDS,
    st.fixed_dictionaries(
        {},
        optional={
            "text": st.sampled_from(["Open", "Grand Opening", "清风茶馆", "A座3楼"]),
            "size_px": st.sampled_from([18, 25.5]),
            "color": st.sampled_from(["#ffffff", "#000000"]),
            "rotation": st.sampled_from([0, -8]),
            "align": st.sampled_from(["left", "right"]),
            "shadow": st.none(),
        },
    ),
)
def test_what_is_said_stays_and_moves_nothing_else(chinese: Kit, seed: int, said: dict) -> None:
    ground = {"canvas": {"color": "#808080", "to": None}}
    try:
        _, state = complete({**ground, "items": [said]}, chinese, seed)
    except TextOverflowError:
        return
    for field, value in said.items():
        if field != "size_px" or state["text/0"]["size_px"] >= 18:
            assert state["text/0"][field] == value
    _, free = complete({**ground, "items": [{}]}, chinese, seed)
    if "text" not in said and "size_px" not in said:
        for field in ("lang", "text", "font"):
            assert state["text/0"][field] == free["text/0"][field]


VARIED = ("text", "font", "color", "size_px", "position")


@FEW
@given(SEEDS, st.sampled_from(VARIED))
def test_varied_sides_differ_in_the_asked_field_alone_and_the_spec_leads_there_and_back(
    chinese: Kit, seed: int, field: str
) -> None:
    base = photo(seed)
    try:
        _, state = complete({"items": [{"lang": "en"}, {}]}, chinese, seed, base)
        source, target = vary(chinese, base, state, {"text/0": {field: None}}, seed)
    except TextError:
        return  # nothing fits beside the other; told as a reason
    differing = {k for k in source["text/0"] if source["text/0"][k] != target["text/0"][k]}
    assert field in differing
    # a color that has come near its outline's gets another outline, a size may keep its shadow
    assert differing - {field} <= {"stroke"} | ({"size_px"} if field == "position" else set())
    assert source.get("text/1") == target.get("text/1")
    spec = between(source, target)
    assert EditSpec.from_json(spec.to_json()) == spec
    assert spec.inverse().inverse() == spec
    scene = Scene("k", base, Lettering(chinese).layers)
    one, other = scene.render(source), scene.render(target)
    assert (scene.render(spec.apply(source)) == other).all()
    assert (scene.render(spec.inverse().apply(target)) == one).all()
    mask = scene.mask(spec, source)
    assert changed(one, other, 0).any()
    assert not changed(one, other, 0)[~mask].any()


def test_a_longer_text_makes_both_sides_smaller_alike(kit: Kit) -> None:
    base = np.full((256, 320, 3), 230, np.uint8)
    item = {"text": "GO", "size_px": 120, "position": [0.5, 0.5], "color": "#000000", "rotation": 0}
    _, state = complete({"items": [item]}, kit, 0, base)
    assert state["text/0"]["size_px"] == 120
    wanted = "Extraordinary announcements"
    source, target = vary(kit, base, state, {"text/0": {"text": wanted}})
    assert source["text/0"]["size_px"] == target["text/0"]["size_px"] < 120
    assert {k: v for k, v in source["text/0"].items() if k != "text"} == {
        k: v for k, v in target["text/0"].items() if k != "text"
    }
    assert kit.fits(source["text/0"], base)
    assert kit.fits(target["text/0"], base)


def test_texts_are_added_removed_and_swapped_in_one_call(kit: Kit) -> None:
    base = np.full((320, 320, 3), 240, np.uint8)
    items = [
        {"text": "Alpha", "size_px": 30, "position": [0.5, 0.2]},
        {"text": "Beta", "size_px": 30, "position": [0.5, 0.5]},
        {"text": "Gamma", "size_px": 20, "position": [0.5, 0.8]},
    ]
    done = render(
        {"items": items, "edit": {"0": {"text": "Beta"}, "1": {"text": "Alpha"}}}, Lettering(kit), 3, base
    )
    assert done.change.types == ("text.swap",)
    assert "Alpha" in done.change.instructions["en_short"]
    assert "Beta" in done.change.instructions["zh_long"]
    done = render({"items": items, "edit": {"2": None, "7": {"text": "Delta"}}}, Lettering(kit), 3, base)
    assert set(done.change.types) == {"text.remove", "text.add"}
    assert done.change.state["text/7"]["text"] == "Delta"
    assert "text/2" not in done.change.state
    assert done.change.verdict.status == "accept"


def test_both_sides_get_the_same_grain(kit: Kit) -> None:
    base = np.full((256, 320, 3), 128, np.uint8)
    spec = {
        "items": [{"text": "Alpha", "size_px": 40, "position": [0.5, 0.3]}],
        "edit": {"0": {"text": "Omega"}},
        "degrade": {"noise": 14},
    }
    done = render(spec, Lettering(kit), 5, base)
    assert changed(done.rgb, base, 8).mean() > 0.3
    assert not changed(done.rgb, done.change.rgb, 0)[~done.change.mask].any()
    assert (render(spec, Lettering(kit), 5, base).change.rgb == done.change.rgb).all()


def test_a_missing_glyph_is_an_error_and_never_an_empty_box(english: Kit) -> None:
    with pytest.raises(MissingGlyphError, match="清"):
        complete({"items": [{"text": "Tea 清"}]}, english, 0)
    family = english.book.faces[0].family
    with pytest.raises(MissingGlyphError, match="清"):
        complete({"items": [{"text": "清", "font": family}]}, english, 0)
    assert issubclass(MissingGlyphError, SampleError)  # a row's reason, not the end of a run


def test_every_drawn_character_looks_unlike_a_missing_one(chinese: Kit) -> None:
    rng = np.random.default_rng(0)
    texts = [composed(lang, rng) for lang in ("en", "zh") for _ in range(12)]
    for face in chinese.book.faces:
        font = font_of(face.path, face.index, 32.0)
        nothing = [
            bytes(font.getmask(c)) for c in ("\U0010fffe", "\U000e0080") if ord(c) not in face.characters
        ]
        for c in {c for t in texts if not face.missing(t) for c in t} - {" "}:
            assert bytes(font.getmask(c)) not in nothing, (face.family, c)


@pytest.mark.parametrize(
    ("spec", "error", "told"),
    [
        ({"items": [{"text": "word " * 79}]}, TextOverflowError, "does not fit"),
        ({"items": [{"text": "x" * 401}]}, TextSpecError, "400 characters"),
        ({"items": [{"text": ""}]}, TextSpecError, "text = ''"),
        ({"items": [{"text": 'say "hi"'}]}, TextSpecError, "quotation"),
        ({"items": [{"text": "שלום"}]}, TextSpecError, "left to right"),
        ({"items": [{"text": "a\x00b"}]}, TextSpecError, "control"),
        ({"items": [{"text": 7}]}, TextSpecError, "a string"),
        ({"items": [{"size_px": "big"}]}, TextSpecError, "size_px"),
        ({"items": [{"size_px": float("nan")}]}, TextSpecError, "size_px"),
        ({"items": [{"color": "red"}]}, TextSpecError, "#rrggbb"),
        ({"items": [{"font": "No Such Font"}]}, TextSpecError, "No Such Font"),
        ({"items": [{"font": 3}]}, TextSpecError, "font"),
        ({"items": [{"position": [0.5]}]}, TextSpecError, "position"),
        ({"items": [{"position": None}]}, TextSpecError, "leave it out"),
        ({"items": [{"colour": "#ffffff"}]}, TextSpecError, "colour"),
        ({"items": [{"surface": {"kind": "quad", "corners": [[0, 0]] * 4}}]}, TextSpecError, "surface"),
        ({"items": {}}, TextSpecError, "list"),
        ({"items": [3]}, TextSpecError, "item 0"),
        ({"texts": []}, TextSpecError, "texts"),
        ({"canvas": {"width_px": 63}}, PictureTooSmallError, "64"),
        ({"canvas": {"width_px": True}}, TextSpecError, "width_px"),
        ({"canvas": {"color": "blue"}}, TextSpecError, "color"),
        ({"degrade": {"rust": 1}}, TextSpecError, "degrade"),
        ({"degrade": {"blur": 99}}, TextSpecError, "blur"),
        ({"items": [{"text": "Hi"}], "edit": {"0": {}}}, TextSpecError, "changes nothing"),
        ({"items": [{"text": "Hi"}], "edit": {"4": None}}, TextSpecError, "text/4"),
        ({"items": [{"text": "Hi"}], "edit": {"first": {}}}, TextSpecError, "numbers"),
        ({"items": [{"text": "Hi"}], "edit": [1]}, TextSpecError, "edit"),
    ],
)
def test_a_spec_that_cannot_be_drawn_says_why(kit: Kit, spec: dict, error: type, told: str) -> None:
    with pytest.raises(error, match=told):
        render({"canvas": {"width_px": 256, "height_px": 128}, **spec}, Lettering(kit))


def test_small_pictures_are_refused_and_the_smallest_is_written_on(kit: Kit) -> None:
    with pytest.raises(PictureTooSmallError, match="63 x 80"):
        complete({}, kit, 0, np.zeros((80, 63, 3), np.uint8))
    base, state = complete(
        {"items": [{"text": "Go", "size_px": 20}]}, kit, 0, np.zeros((64, 64, 3), np.uint8)
    )
    assert changed(base, drawn(kit, base, dict(state))).any()


def test_vertical_text_runs_down_and_columns_run_left(chinese: Kit) -> None:
    base = np.full((256, 256, 3), 255, np.uint8)
    item = {
        "text": "东\n西",
        "vertical": True,
        "size_px": 40,
        "color": "#000000",
        "stroke": None,
        "shadow": None,
    }
    _, state = complete({"items": [{**item, "position": [0.5, 0.5]}]}, chinese, 1, base)
    ink = np.flatnonzero((drawn(chinese, base, dict(state)) < 128).any(axis=(0, 2)))
    alone = {**state["text/0"], "text": "东"}
    x0, _, x1, _ = chinese.box(state["text/0"], base)
    assert x1 - x0 > 1.8 * 40
    assert ink.max() - ink.min() > 60
    both = drawn(chinese, base, dict(state))
    first = drawn(chinese, base, {"text/0": {**alone, "position": [(x0 + x1) / 2 / 256 + 0.1, 0.5]}})
    right = (both[:, 128:] < 128).any(axis=2).mean()
    assert (
        abs(right - (first < 128).any(axis=2)[:, 128:].mean()) < 0.02
    )  # the first column stands on the right


@pytest.mark.parametrize(
    "surface",
    [
        {"kind": "quad", "corners": [[0.1, 0], [1, 0.1], [0.9, 1], [0, 0.8]]},
        {"kind": "cylinder", "bend": 0.9},
    ],
)
def test_a_surface_bends_the_block_and_takes_the_light(kit: Kit, surface: dict) -> None:
    base = np.repeat(np.linspace(40, 235, 320, dtype=np.uint8)[None, :, None], 256, 0).repeat(3, 2)
    item = {"text": "MMMMMMMM", "size_px": 36, "position": [0.5, 0.5], "color": "#dc281e", "rotation": 0}
    item |= {"stroke": {"width_px": 2, "color": "#ffffff"}, "shadow": None, "width": 1}
    _, lit = complete({"items": [{**item, "surface": surface, "light": 1}]}, kit, 0, base)
    _, flat = complete({"items": [{**item, "light": 0}]}, kit, 0, base)
    scene = Scene("k", base, Lettering(kit).layers)
    one, other = scene.render(lit), scene.render(flat)
    assert changed(one, other).mean() > 0.02
    red = [(p[..., 0].astype(int) - p[..., 1] > 60) for p in (one, other)]
    left, right = (
        float(one[:, half, 0][red[0][:, half]].mean()) for half in (slice(0, 130), slice(190, 320))
    )
    assert right > left + 15  # the photograph is lighter on the right, and so is the text
    assert abs(float(other[red[1]][:, 0].std())) < 40
    box = Lettering(kit).layer.patch(lit["text/0"], scene).box
    ys, xs = np.nonzero(changed(one, base))
    assert box[0] - 8 <= xs.min()
    assert xs.max() <= box[2] + 8
    assert box[1] - 8 <= ys.min()
    assert ys.max() <= box[3] + 8


def test_phrases_of_ones_own(tmp_path) -> None:
    file = tmp_path / "p.txt"
    file.write_text('Hello\nGood day\t日安\n\n"quoted"\n' + "x" * 61 + "\n新年\n", "utf-8")
    phrases = read_phrases(file)
    assert phrases.texts["en"] == ("Good day", "Hello")
    assert phrases.texts["zh"] == ("日安", "新年")
    assert phrases.translated("Good day", "en") == "日安"
    assert phrases.translated("Hello", "en") is None
    assert phrases.refused == {"empty": 1, "quotation marks": 1, "too long": 1}
    rng = np.random.default_rng(0)
    assert {phrases.draw("zh", rng) for _ in range(40)} == {"日安", "新年"}
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TextSpecError, match="UTF-8"):
        read_phrases(file)


@settings(deadline=None)
@given(SEEDS, st.sampled_from(["en", "zh"]))
def test_composed_texts_can_be_drawn_and_quoted(seed: int, language: str) -> None:
    text = composed(language, np.random.default_rng(seed))
    assert unusable(text, 40) is None
    assert "{" not in text
    assert language == "zh" or language_of(text) == "en"


def test_fonts_know_themselves(kit: Kit) -> None:
    digest = kit.book.digest
    assert FontBook(reversed(kit.book.faces)).digest == digest
    face: Face = kit.book.faces[0]
    assert kit.book.face(face.id) is face
    assert kit.book.named(face.family).family == face.family
    assert json.dumps(face.value("Hi"))
    with pytest.raises(TextSpecError, match="no folder"):
        find_fonts(["/no/such/folder"])


@settings(deadline=None)
@given(
    st.sampled_from(
        [
            None,
            {"kind": "quad", "corners": [[-0.1, 0.05], [1.05, -0.1], [0.9, 1], [0.1, 0.95]]},
            {"kind": "cylinder", "bend": 0.8},
        ]
    ),
    st.sampled_from([0, 12.5, -70]),
)
def test_a_point_of_the_sheet_comes_back_from_the_picture(surface: dict | None, rotation: float) -> None:
    placing = Placing({"surface": surface, "rotation": rotation}, (150.0, 90.0), (240, 320, 3))
    sheet = np.array([[100.0, 80.0], [150.0, 90.0], [210.0, 120.0]])
    for point, (x, y) in zip(sheet, placing.forward(sheet), strict=True):
        back_x, back_y = placing.back(np.array([x, x + 1]), np.array([y, y + 1, y + 2]))
        assert back_x.shape == back_y.shape == (3, 2)
        assert (back_x[0, 0], back_y[0, 0]) == pytest.approx(tuple(point), abs=0.01)
