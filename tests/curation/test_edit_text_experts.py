"""Experts of rendered text: what they propose leads where it says, is named so that only one text can be meant, and
can be read back."""

from __future__ import annotations

import numpy as np
import pytest

from zcurate.curation.edits.checks import ACCEPT, Verdict, changed
from zcurate.curation.edits.encoding import encode_png
from zcurate.curation.edits.experts import NoProposalError
from zcurate.curation.edits.library import Library
from zcurate.curation.edits.making import Maker, Plan
from zcurate.curation.edits.phrases import Names, instructions
from zcurate.curation.edits.scene import Scene
from zcurate.curation.edits.spec import Change, EditSpec, between
from zcurate.curation.edits.taxonomy import types_of
from zcurate.curation.edits.text.boxes import boxed
from zcurate.curation.edits.text.degrading import degraded
from zcurate.curation.edits.text.experts import NEED_TEXTS
from zcurate.curation.edits.text.faults import MissingGlyphError
from zcurate.curation.edits.text.fonts import find_fonts
from zcurate.curation.edits.text.items import checked
from zcurate.curation.edits.text.kit import Kit
from zcurate.curation.edits.text.lettering import Lettering
from zcurate.curation.edits.text.phrase_lists import Phrases, bundled
from zcurate.curation.edits.text.readback import of_new, read_back, share_read
from zcurate.curation.edits.text.referring import OWN_TEXT, candidates
from zcurate.curation.edits.text.specs import complete

SIDE = 320


@pytest.fixture(scope="module")
def lettering() -> Lettering:
    kit = Kit(find_fonts(), bundled())
    try:
        kit.book.covering("清风茶馆")
    except MissingGlyphError:
        pytest.skip("no font with Chinese characters; pip install mplfonts")
    return Lettering(kit)


def ground(seed: int = 0) -> np.ndarray:
    """A light picture with a little grain."""
    return np.random.default_rng(seed).integers(200, 240, (SIDE, SIDE, 3)).astype(np.uint8)


def scene_of(lettering: Lettering, seed: int = 0) -> Scene:
    return Scene(f"s{seed}", ground(seed), lettering.layers)


def texts(lettering: Lettering, *items: dict, base: np.ndarray | None = None) -> dict:
    plain = {
        "font": lettering.kit.book.covering("清A")[0].family,
        "color": "#121212",
        "rotation": 0,
        "size_px": 24,
    }
    plain |= {"stroke": None, "shadow": None, "vertical": False, "width": 1}
    base = ground() if base is None else base
    return dict(complete({"items": [{**plain, **i} for i in items]}, lettering.kit, 0, base)[1])


def first(label: str, options):
    return options[0]


@pytest.mark.parametrize("name", ["add_text", "add_texts", *sorted(NEED_TEXTS)])
def test_an_expert_says_exactly_what_it_does(lettering: Lettering, name: str) -> None:
    experts = {e.name: e for e in lettering.experts()}
    made = 0
    for seed in range(12):
        scene, rng = scene_of(lettering, seed), np.random.default_rng(seed)
        state = {}
        try:
            if name in NEED_TEXTS:
                state = experts["add_texts"].propose(scene, {}, rng).spec.apply({})
            proposal = experts[name].propose(scene, state, rng)
        except NoProposalError:
            continue
        target = proposal.spec.apply(state)
        found = types_of(proposal.spec, state)
        assert set(found) & set(experts[name].types) or name == "change_texts", found
        one, other = scene.render(state), scene.render(target)
        mask = scene.mask(proposal.spec, state)
        assert changed(one, other, 0).any()
        assert not changed(one, other, 0)[~mask].any()
        again = Scene("other key", scene.base, Lettering(lettering.kit).layers)
        assert (again.render(proposal.spec.inverse().apply(target)) == one).all()
        told = instructions(proposal.spec, state, proposal.names, first)
        for change in proposal.spec.changes:
            new = change.after is not None and (
                change.before is None or change.before["text"] != change.after["text"]
            )
            for line in change.after["text"].split("\n") if new and found != ("text.swap",) else ():
                assert change.before is not None or line in told["en_short"], told  # letter by letter
                assert change.before is not None or line in told["zh_short"], told
        boxes = [lettering.layer.patch(v, scene).box for v in target.values()]
        for i, a in enumerate(boxes):
            for b in boxes[i + 1 :]:
                assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        made += 1
    assert made >= (2 if name in ("swap_texts", "translate_text") else 4)


def test_only_one_text_fits_a_name(lettering: Lettering) -> None:
    state = texts(
        lettering,
        {"text": "SALE", "position": [0.5, 0.15], "color": "#dc281e", "size_px": 56},
        {"text": "SALE", "position": [0.5, 0.5], "color": "#dc281e"},
        {"text": "茶", "position": [0.5, 0.85], "color": "#2350b9"},
    )
    scene = scene_of(lettering)
    names = {slot: {n.en for n in found} for slot, found in candidates(scene, state, lettering.layer).items()}
    assert names["text/0"] == {"text at the top", "large title", "red title", "first line of text"}
    assert not any("SALE" in n or n == "red text" for n in names["text/0"] | names["text/1"])
    assert {"blue text", 'text "茶"', "Chinese text"} <= names["text/2"]
    for a in names:
        for b in names:
            assert a == b or not names[a] & names[b]
    # On a gray picture nobody sees a color.
    gray = {**state, "photometric/grey": 1}
    names = candidates(scene, gray, lettering.layer)
    assert not any(c in n.en for found in names.values() for n in found for c in ("red", "blue"))


def test_what_the_photograph_says_itself_is_never_meant(lettering: Lettering) -> None:
    state = texts(
        lettering, {"text": "SALE", "position": [0.5, 0.2]}, {"text": "Open", "position": [0.5, 0.7]}
    )
    scene = scene_of(lettering)
    scene.assets[OWN_TEXT] = ("Big Sale today",)
    names = candidates(scene, state, lettering.layer)
    assert names["text/0"] == []
    assert {n.en for n in names["text/1"]} == {'text "Open"'}


def test_boxes_stand_around_what_changes_and_are_gone_afterwards(lettering: Lettering) -> None:
    one = texts(
        lettering, {"text": "Alpha", "position": [0.5, 0.25]}, {"text": "Beta", "position": [0.5, 0.7]}
    )
    other = {k: {**v, "text": v["text"][::-1]} for k, v in one.items()}
    scene = scene_of(lettering)
    found = boxed(scene, [{}, one, other], lettering.layer, np.random.default_rng(0), 1.0)
    assert found
    number, state = found[0]
    frames = {k: v for k, v in state.items() if k.startswith("box/")}
    assert len(frames) == 2
    assert len({v["color"] for v in frames.values()}) == 2
    for value in frames.values():
        x0, y0, x1, y1 = value["box"]
        text = lettering.layer.patch(state[value["around"]], scene).box
        assert max(x0 - text[0], y0 - text[1], text[2] - x1, text[3] - y1) < 0
    spec = between(state, other if number == 1 else one)
    names = lettering.names(scene, state, spec.apply(state), Names())
    told = instructions(spec, state, names, first)
    for value in frames.values():
        assert f"inside the {value['color']} box" in told["en_short"]
    drawn = scene.render(state)
    assert changed(drawn, scene.render({k: v for k, v in state.items() if k not in frames})).any()


def test_a_fault_lies_on_both_sides_alike(lettering: Lettering) -> None:
    one = texts(lettering, {"text": "Alpha", "position": [0.5, 0.25]})
    other = {"text/0": {**one["text/0"], "text": "Omega"}}
    (i, a), (j, b) = degraded([{}, one, other, {"pixel/blur": 3}], np.random.default_rng(1), 1.0)
    assert (i, j) == (1, 2)
    spec = between(a, b)
    assert {c.slot for c in spec.changes} == {"text/0"}
    scene = scene_of(lettering)
    mask = scene.mask(spec, a)
    assert not changed(scene.render(a), scene.render(b), 0)[~mask].any()
    assert changed(scene.render(a), scene.render(one), 0).any()


def test_groups_of_texts_are_the_same_bytes_wherever_they_are_made(lettering: Lettering) -> None:
    names = [e.name for e in lettering.experts()]
    probe = Maker(Plan(), Library(), texts=lettering)
    weights = {e.name: 1.0 if e.name in names else 0.0 for e in probe._experts}
    plan = Plan(versions=4, weights=weights, seed=3)
    kinds, degraded_pairs = set(), 0
    for number in range(8):
        groups = [
            Maker(plan, Library(), texts=Lettering(lettering.kit, degraded_share=1.0)).make(
                ground(number), f"g{number}"
            )
            for _ in range(2 if number < 2 else 1)
        ]
        if len(groups) == 2:
            assert [v.png for v in groups[0].versions] == [v.png for v in groups[1].versions]
            assert [p.instructions for p in groups[0].pairs] == [p.instructions for p in groups[1].pairs]
        for pair in groups[0].pairs:
            kinds |= set(pair.pair.types)
            assert pair.verdict.status == "accept", (pair.verdict, pair.pair.spec)
            assert pair.measures.outside_psnr_db is None or pair.measures.outside_psnr_db >= 45
            ends = [groups[0].versions[i].state for i in (pair.pair.source, pair.pair.target)]
            degraded_pairs += all(any(k.startswith("pixel/") for k in s) for s in ends)
    assert {"text.add", "text.remove", "text.replace", "text.color", "text.size", "text.move"} <= kinds
    assert degraded_pairs


@pytest.mark.parametrize(
    ("wanted", "lang", "read", "share"),
    [
        ("Grand Opening", "en", "GRAND OPENING", 1.0),
        ("Grand Opening", "en", "grandopening", 1.0),
        ("Grand Opening", "en", "Grand 0pening", 0.5),
        ("Opening Grand", "en", "Grand Opening", 0.5),
        ("Only $9.99", "en", "only $9.99!", 1.0),
        ("清风茶馆", "zh", "清风茶馆", 1.0),
        ("清风茶馆", "zh", "清凤茶馆", 0.75),
        ("24小时营业", "zh", "２４小时营业", 1.0),
        ("清风茶馆", "zh", "", 0.0),
        ("茶馆", "zh", "茶" + "一" * 30 + "馆", 0.5),
    ],
)
def test_share_read_counts_words_in_english_and_characters_in_chinese(wanted, lang, read, share) -> None:
    assert share_read(wanted, lang, read) == share


def test_only_new_strings_of_some_size_are_asked_for(lettering: Lettering) -> None:
    (a,) = texts(lettering, {"text": "Alpha", "position": [0.5, 0.5]}).values()
    spec = EditSpec(
        (
            Change("text/0", None, a),
            Change("text/1", a, {**a, "color": "#2350b9"}),
            Change("text/2", {**a, "text": "Old"}, {**a, "size_px": 20}),
            Change("text/3", a, None),
        )
    )
    assert of_new(spec, {"text/0": 1.0, "text/1": 0.2, "text/2": 0.3}) == {"text/0": 1.0}


def test_what_is_drawn_is_read_and_what_is_not_drawn_is_not(lettering: Lettering) -> None:
    ocr_module = pytest.importorskip("zcurate.captioner.ocr.rapid")
    ocr = ocr_module.RapidOcr()
    ocr.load()
    state = texts(
        lettering,
        {"text": "清风茶馆", "position": [0.5, 0.2], "size_px": 36},
        {"text": "Grand Opening", "position": [0.5, 0.5], "size_px": 30},
        {"text": "茶", "position": [0.5, 0.8], "size_px": 40},
    )
    scene = scene_of(lettering)
    boxes = {k: lettering.layer.patch(v, scene).box for k, v in state.items()}
    found = read_back(ocr, scene.render(state), state, boxes)
    missed = read_back(ocr, scene.base, state, boxes)
    assert found == dict.fromkeys(state, 1.0)
    assert missed == dict.fromkeys(state, 0.0)
    spec = between({}, state)
    good, bad = (lettering.judged(Verdict(ACCEPT), spec, read) for read in (found, missed))
    assert (good.status, good.scores["read_back"]) == (ACCEPT, 1.0)
    assert bad.reasons == ("unreadable_text",)


def test_without_translations_nothing_is_translated(lettering: Lettering) -> None:
    own = Lettering(Kit(lettering.kit.book, Phrases({"en": ("Alpha", "Beta"), "zh": ()})))
    experts = {e.name: e for e in own.experts()}
    state = texts(own, {"text": "Alpha", "position": [0.5, 0.5]})
    assert checked(state["text/0"])
    with pytest.raises(NoProposalError):
        experts["translate_text"].propose(scene_of(own), state, np.random.default_rng(0))
    proposal = experts["replace_text"].propose(scene_of(own), state, np.random.default_rng(0))
    assert proposal.spec.changes[0].after["text"] == "Beta"
    assert encode_png(scene_of(own).render(proposal.spec.apply(state)))
