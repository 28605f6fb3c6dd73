"""The reward: trained on reviewed elements of the procedural world, held to pictures it has not seen, used by `diagnose`."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zcurate.captioner.elements import elements
from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.exporting import export_parquet
from zcurate.curation.active.review.routing import (
    Routing,
)
from zcurate.curation.active.reward.claims import WORD_DIM, claim_vectors, hashed_words
from zcurate.curation.active.reward.fitting import Judged, auc, fit, measures
from zcurate.curation.embedding.embedded import EmbeddedEncoder
from zcurate.curation.errors import ConfigError
from zcurate.model.data.shapes.drawing import render
from zcurate.model.data.shapes.world import COLORS
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.recipe import build_recipe
from zcurate.pipelines.reviewing import ReviewOptions, prepare
from zcurate.pipelines.training_reward import load_reward
from zcurate.pipelines.view import open_view

from ..captioner.server import Reply, texts_of
from .review_site import CAPTIONS
from .test_diagnose import diagnosis, save, scene

# Its pictures and models are made once, not once per worker.
pytestmark = pytest.mark.xdist_group("reward")

NAMES = [f"{c} {s}" for c in ("red", "green", "blue", "yellow") for s in ("circle", "bar", "cross")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(reward file, facts): 300 pictures, three reviewed elements each, some of them false."""
    from .test_augment import command

    folder = tmp_path_factory.mktemp("reward")
    rng = np.random.default_rng(0)
    shown = {}
    for i in range(300):
        names = [NAMES[k] for k in rng.choice(len(NAMES), int(rng.integers(1, 3)), replace=False)]
        save(folder / "images", f"p{i}", scene(*names), caption=" and ".join(names))
        shown[f"p{i}"] = names
    recipe = folder / "r.yaml"
    recipe.write_text(
        f"name: r\ndataset: {folder / 'ds'}\nsources: [{{root: {folder / 'images'}}}]\nreport: false\n"
        "stages: {profile: {quality: false}, embed: {model: embedded}}\n"
    )
    command("build", str(recipe), "--engine", "inline")
    rows = []
    for _, table in open_view(str(folder / "ds")).tables(["samples.key"]):
        for row in table.to_pylist():
            names = shown[row["samples.key"]]
            asked = [names[0], *(NAMES[k] for k in rng.choice(len(NAMES), 3, replace=False))]
            judged = [
                {
                    "id": str(j),
                    "text": n.split()[0],
                    "kind": "attribute",
                    "satisfied": any(n.split()[0] in x for x in names),
                }
                for j, n in enumerate(asked)
            ]
            rows.append(
                {"kind": "caption", "subject": row["sample_id"].hex(), "elements": json.dumps(judged)}
            )
    rows.append({"kind": "pair", "subject": "x", "elements": "[]"})
    rows.append(
        {
            "kind": "caption",
            "subject": "00" * 16,
            "elements": json.dumps([{"text": "a", "kind": "subject", "satisfied": True}]),
        }
    )
    pq.write_table(pa.Table.from_pylist(rows), folder / "reviewed.parquet")
    command(
        "train-reward", "--dataset", str(folder / "ds"), "--reviewed", str(folder / "reviewed.parquet"),
        "--out", str(folder / "reward.safetensors"), "--plot", str(folder / "calibration.png"),
    )  # fmt: skip
    return folder


def test_the_colors_of_pictures_never_seen_are_told_and_probabilities_hold(trained):
    model = load_reward(trained / "reward.safetensors", "embedded")
    rng = np.random.default_rng(1)
    pictures, prompts, truth = [], [], []
    for _ in range(200):
        names = [NAMES[k] for k in rng.choice(len(NAMES), 2, replace=False)]
        color = ("red", "green", "blue", "yellow")[int(rng.integers(4))]
        pictures.append(render(scene(*names)))
        prompts.append(f"a {color} thing")
        truth.append(any(color in n for n in names))
    found = model(pictures, prompts)
    of = [
        next(
            p for e, p in zip(elements(q).elements, r.elements.values(), strict=True) if e.kind == "attribute"
        )
        for q, r in zip(prompts, found, strict=True)
    ]
    told = measures(np.array(of), np.array(truth))
    assert told["auc"] > 0.85
    assert told["calibration_error"] < 0.2
    assert found[0].ai_look is None
    assert found[0].aesthetic is None
    assert all(r.instruction is not None and 0 <= r.instruction <= 1 for r in found)
    assert model([pictures[0]], [""])[0].instruction is None
    assert (trained / "calibration.png").read_bytes()[:4] == b"\x89PNG"


def test_training_again_gives_the_same_bytes(trained, zcurate):
    code, out, err = zcurate(
        "train-reward", "--dataset", trained / "ds", "--reviewed", trained / "reviewed.parquet", "--out", trained / "again.safetensors", "--json"
    )  # fmt: skip
    assert code == 0, err
    assert (trained / "again.safetensors").read_bytes() == (trained / "reward.safetensors").read_bytes()
    assert json.loads(out)["unmatched"] == 1


def test_diagnose_asks_the_reward_and_believes_it_only_where_it_is_sure(trained, zcurate, tmp_path):
    folder = tmp_path / "made"
    for i in range(6):
        save(folder, f"p{i}", scene("red circle", "red bar"), prompt="a red thing")
        save(folder, f"q{i}", scene("green circle", "green bar"), prompt="a red thing")
    found = diagnosis(
        zcurate, f"folder:{folder}", "--out", tmp_path / "d", "--engine", "inline", "--no-ocr", "--reward", trained / "reward.safetensors"
    )  # fmt: skip
    red = next(f for f in found["findings"] if f["concept"]["name"] == "attribute: red")
    assert red["tally"]["passed"] + red["tally"]["failed"] > 0
    assert all(p.startswith("q") for p in red["pictures"])


@pytest.fixture
def captioned(trained, tmp_path, monkeypatch):
    """A balanced dataset of 40 pictures; captions of every fourth name a color that is not there."""
    (tmp_path / "zcreview").mkdir()
    (tmp_path / "zcreview" / "__init__.py").write_text("")
    (tmp_path / "zcreview" / "captions.py").write_text(CAPTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    rng = np.random.default_rng(5)
    for i in range(40):
        name = NAMES[int(rng.integers(len(NAMES)))]
        color = name.split()[0] if i % 4 else next(c for c in ("red", "green") if c not in name)
        given = {"en_long": f"A {color} thing, number {i}.", "en_tags": [name], "wrong": not i % 4}
        spec = scene(name, NAMES[0] if i % 4 == 1 else name)
        save(tmp_path / "images", f"p{i}", spec, **given)
    recipe = {
        "name": "c", "dataset": str(tmp_path / "ds"), "report": False,
        "sources": [{"name": "s", "root": str(tmp_path / "images"), "kind": "folder"}],
        "stages": {
            "profile": {"quality": False},
            "filter": {"rules": {"none": {"drop_if": "short_side_px < 1"}}},
            "embed": {"model": "embedded"}, "ocr": {}, "zcreview.captions": {}, "concepts": {}, "balance": {},
        },
    }  # fmt: skip
    build(build_recipe(recipe, "test"), BuildOptions(engine="inline"))
    return tmp_path / "ds"


def test_guesses_order_the_queue_and_stand_beside_tasks(trained, captioned, zcurate, vlm_server):
    url, reward = str(captioned), trained / "reward.safetensors"
    tasks = {}
    with ReviewLog(captioned / "_review/decisions.sqlite") as log:
        for order in ("balanced", "mixed", "uncertain"):
            routing = Routing(pass_share=0.0, rare_below=0)
            prepare(url, ReviewOptions(reward=reward, order=order, routing=routing), log)
            tasks[order] = list(log.tasks())
        prepare(url, ReviewOptions(), log)
        plain = list(log.tasks())
    # The guess is no part of the proposal: same tasks, other places.
    assert {t.id for t in plain} == {t.id for ts in tasks.values() for t in ts}
    assert [t.id for t in plain] == [t.id for t in tasks["balanced"]]
    assert all("reward" not in t.context for t in plain)
    guesses = {t.subject: t.context["reward"] for t in tasks["mixed"]}
    model = load_reward(reward, "embedded")
    for t in tasks["mixed"][:5]:
        # From the stored vector as from the picture, up to the stored one's half precision.
        (told,) = model([original(captioned, t.subject)], [t.fields["en_long"]])
        assert guesses[t.subject]["elements"] == pytest.approx(told.elements, abs=5e-3)
        assert set(told.elements) == {e.id for e in t.elements}
    # What the reward thinks little of is what is wrong, by and large.
    wrong = [not int(t.fields["en_long"].split()[-1][:-1]) % 4 for t in plain]
    score = [guesses[t.subject]["instruction"] for t in plain]
    assert auc(-np.array(score), np.array(wrong)) > 0.7
    unsure = [t.context["reward"]["uncertainty"] for t in tasks["uncertain"]]
    assert unsure == sorted(unsure, reverse=True)
    first = {o: np.mean([t.context["reward"]["uncertainty"] for t in tasks[o][:15]]) for o in tasks}
    assert first["balanced"] < first["uncertain"]
    # The AI verifier takes the first of the same order.
    asked = []

    def answer(body):
        said = texts_of(body)[-1]
        asked.append(int(re.search(r"number (\d+)", said)[1]))
        claims = re.findall(r"^(\d+)\. ", said, re.M)
        return Reply(
            json.dumps({"claims": [{"number": int(n), "seen": "", "verdict": "yes"} for n in claims]})
        )

    vlm_server.script = answer
    options = ("--vlm", vlm_server.engine, "--revision", "1", "--limit", "4", "--reward", reward, "--order", "uncertain")  # fmt: skip
    code, _, err = zcurate("review-verify", url, *options, "--json")
    assert code == 0, err
    with ReviewLog(captioned / "_review/decisions.sqlite") as log:
        top = [int(t.fields["en_long"].split()[-1][:-1]) for t in list(log.tasks())[:4]]
        assert sorted(asked) == sorted(top)
        export_parquet(log, captioned / "out")
    rows = pq.read_table(captioned / "out/reviewed.parquet").to_pylist()
    assert {r["subject"]: r["reward"] for r in rows} == {
        i: pytest.approx(g["instruction"], abs=1e-6) for i, g in guesses.items()
    }
    for wrong, problem in (
        (("--order", "mixed"), "--reward"),
        (("--order", "best", "--reward", reward), "balanced, mixed"),
        (("--reward", "none.safetensors"), "No such file"),
    ):
        code, _, err = zcurate("review", url, "--port", "0", *wrong)
        assert (code, problem in err) == (2, True), err


def original(dataset, subject):
    """A sample's picture, decoded."""
    for _, table in open_view(str(dataset)).tables(["samples.uri"]):
        for row in table.to_pylist():
            if row["sample_id"].hex() == subject:
                return np.asarray(Image.open(dataset.parent / "images" / row["samples.uri"]).convert("RGB"))
    raise AssertionError(subject)


def test_files_of_another_wording_are_refused(trained, tmp_path):
    data = (trained / "reward.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header["__metadata__"]["zcurate"])
    del about["wording"]
    header["__metadata__"]["zcurate"] = json.dumps(about)
    text = json.dumps(header).encode()
    (tmp_path / "old.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises(ConfigError, match="other words"):
        load_reward(tmp_path / "old.safetensors", "embedded")


def test_files_of_another_encoder_or_none_are_refused(trained, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\x08" + bytes(40))
    with pytest.raises(ConfigError, match="not a reward file"):
        load_reward(tmp_path / "x.safetensors", "embedded")
    with pytest.raises(ConfigError, match="No such file"):
        load_reward(tmp_path / "none.safetensors", "embedded")


def test_too_little_to_learn_from_is_said():
    data = Judged(
        np.zeros((3, 4), np.float32), np.zeros(9, int), np.zeros((9, 5), np.float32), np.ones(9, bool)
    )
    with pytest.raises(ValueError, match="at least"):
        fit(data)
    many = Judged(
        np.zeros((20, 4), np.float32), np.arange(60) % 20, np.zeros((60, 5), np.float32), np.ones(60, bool)
    )
    with pytest.raises(ValueError, match="alike"):
        fit(many)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_auc_is_the_share_of_pairs_in_order(rows):
    score, positive = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    pairs = [(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    found = auc(score, positive)
    assert found is None if not pairs else found == pytest.approx(np.mean(pairs))
    told = measures(score, positive)
    assert 0 <= told["calibration_error"] <= 1
    assert sum(b["count"] for b in told["bins"]) == len(rows)


@given(st.text(max_size=40))
def test_words_have_vectors_of_length_one_or_none(text):
    norm = np.linalg.norm(hashed_words(text))
    assert norm == pytest.approx(1, abs=1e-5) or norm == 0
    assert claim_vectors(["strange"], [text], EmbeddedEncoder()).shape == (1, 8 + WORD_DIM)


def test_colors_of_the_world_have_words_of_their_own():
    vectors = np.stack([hashed_words(c) for c in COLORS])
    assert np.abs(vectors @ vectors.T - np.eye(len(COLORS))).max() < 0.5
