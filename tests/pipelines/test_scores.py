"""The `scores` stage and `train-head`, through recipes and the command line."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from zcurate.curation.errors import ConfigError
from zcurate.curation.scoring.errors import HeadError, LabelError
from zcurate.curation.scoring.head import HeadInfo
from zcurate.curation.scoring.linear import LinearHead, write_head
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.context import StageContext
from zcurate.pipelines.planned import plan_stages
from zcurate.pipelines.recipe import build_recipe
from zcurate.pipelines.stages import scores as scores_stage
from zcurate.pipelines.training_heads import number_groups, read_labels
from zcurate.pipelines.view import open_view

OPENCLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
TEXTS = {"p00": "A woman in hanfu by the Great Wall", "p01": "端午节赛龙舟", "p02": "東京タワーの夜"}


def picture(seed):
    """Warm pictures for even seeds, cold for odd: a taste that embeddings can see."""
    rng = np.random.default_rng(seed)
    tint = np.array([200, 120, 60]) if seed % 2 == 0 else np.array([60, 110, 200])
    coarse = rng.normal(0, 35, (6, 8, 3)).clip(-60, 60).repeat(40, axis=0).repeat(40, axis=1)
    return Image.fromarray(np.clip(tint + coarse + rng.normal(0, 4, coarse.shape), 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in") / "pictures"
    folder.mkdir()
    for i in range(40):
        picture(i).save(folder / f"p{i:02d}.png")
    for key, text in TEXTS.items():
        (folder / f"{key}.txt").write_text(text, encoding="utf-8")
    for i in range(4):
        (folder / f"copy{i}.png").write_bytes((folder / f"p{i:02d}.png").read_bytes())
    return folder


@pytest.fixture(scope="module")
def openclip_dir(tmp_path_factory):
    import torch
    from open_clip import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("openclip")
    weights = {k: v.contiguous() for k, v in CLIP(**OPENCLIP).state_dict().items()}
    save_file(weights, directory / "open_clip_model.safetensors")
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    config = {"model_cfg": OPENCLIP, "preprocess_cfg": preprocess}
    (directory / "open_clip_config.json").write_text(json.dumps(config))
    return directory


def recipe_of(images, out, model="embedded", scores=None, origin="camera"):
    raw = {
        "name": "scores",
        "dataset": str(out),
        "sources": [{"name": "s", "root": str(images), "kind": "folder", "origin": origin}],
        "stages": {"profile": {}, "embed": {"model": model}, "scores": scores or {}},
        "report": False,
    }
    return build_recipe(raw, "test")


def rows_of(url, *columns):
    """key -> row of the scores group and other columns."""
    view = open_view(str(url))
    names = [f"scores.{n}" for n in [*view.schema("scores").names, "_status", "_error_class"]]
    rows = [r for _, t in view.tables(["samples.key", *names, *columns]) for r in t.to_pylist()]
    return {r["samples.key"]: {k.removeprefix("scores."): v for k, v in r.items()} for r in rows}


@pytest.fixture(scope="module")
def plain(images, tmp_path_factory):
    """Built with the embedded encoder and defaults."""
    out = tmp_path_factory.mktemp("plain") / "ds"
    assert build(recipe_of(images, out), BuildOptions(engine="inline", quiet=True)).exit_code == 0
    return out


@pytest.fixture(scope="module")
def clip(images, openclip_dir, tmp_path_factory):
    """Built with a small random CLIP."""
    out = tmp_path_factory.mktemp("clip") / "ds"
    recipe = recipe_of(
        images, out, f"openclip:{openclip_dir}", {"tag_threshold": 0.05, "tag_temperature": 0.003}
    )
    assert build(recipe, BuildOptions(engine="inline", quiet=True)).exit_code == 0
    return out


def test_embedded_leaves_null_what_it_cannot_tell(plain):
    rows = rows_of(plain)
    assert len(rows) == 44
    assert all(r["_status"] == "ok" for r in rows.values())
    assert all(1 <= r["aesthetic"] <= 10 for r in rows.values())
    for column in ("text_image", "tags", "faces", "people", "nsfw"):
        assert {r[column] for r in rows.values()} == {None}, column
    assert rows["p00"]["culture"] == ["hanfu", "great_wall"]
    assert rows["p01"]["culture"] == ["dragon_boat_festival", "dragon_boat"]
    assert rows["p05"]["culture"] == []
    assert [rows[k]["text_language"] for k in ("p00", "p01", "p02", "p03")] == ["en", "zh", "other", None]
    meaning = open_view(str(plain)).schema("scores").field("aesthetic").metadata[b"meaning"].decode()
    assert "heuristic" in meaning


def test_clip_scores_text_and_tags(clip, openclip_dir):
    from zcurate.curation.embedding.openclip import OpenClipEncoder
    from zcurate.curation.scoring.zero_shot import tag_list

    rows = rows_of(clip, "embedding.vector")
    (text,) = OpenClipEncoder(str(openclip_dir), device="cpu").encode_texts([TEXTS["p00"]])
    image = np.array(rows["p00"]["embedding.vector"], np.float32)
    assert rows["p00"]["text_image"] == pytest.approx(float(text @ image), abs=2e-3)
    assert {k for k, r in rows.items() if r["text_image"] is not None} == set(TEXTS)
    names = {t.name for t in tag_list()}
    assert all(set(r["tags"]) <= names for r in rows.values())
    assert any(r["tags"] for r in rows.values())
    assert all(r["tags"] is not None for r in rows.values())


def test_text_languages_limit_the_alignment(images, openclip_dir, tmp_path):
    recipe = recipe_of(
        images, tmp_path / "ds", f"openclip:{openclip_dir}", {"tags": False, "text_languages": ["zh"]}
    )
    assert build(recipe, BuildOptions(engine="inline", quiet=True)).exit_code == 0
    rows = rows_of(tmp_path / "ds")
    assert {k for k, r in rows.items() if r["text_image"] is not None} == {"p01"}
    assert {r["tags"] for r in rows.values()} == {None}


def test_declared_origin_is_generated(images, tmp_path):
    recipe = recipe_of(images, tmp_path / "ds", origin="model")
    assert build(recipe, BuildOptions(engine="inline", quiet=True)).exit_code == 0
    rows = rows_of(tmp_path / "ds")
    assert {r["ai_generated"] for r in rows.values()} == {1.0}
    assert all("source: origin is model" in r["ai_evidence"] for r in rows.values())


def test_groups_that_exist_are_read():
    """Metadata and quality come in where the recipe has them; their absence changes nothing else."""
    context = StageContext(groups=frozenset({"profile", "thumbs", "metadata", "quality"}))
    reads = scores_stage.build(scores_stage.Config(), context).spec.reads
    assert {"metadata.ai_declared", "metadata.ai_evidence", "quality.ai_forensic"} <= set(reads)
    assert not any(c.startswith("embedding") for c in reads)
    bare = scores_stage.build(scores_stage.Config(aesthetic=None), StageContext()).spec.reads
    assert set(bare) == {"samples.text", "samples.metadata", "samples.origin", "profile.content_id"}


def test_what_other_groups_say_reaches_the_scores(plain):
    import pyarrow as pa

    from zcurate.curation.stage import NullMonitor

    context = StageContext(groups=frozenset({"profile", "metadata", "quality"}))
    stage = scores_stage.build(scores_stage.Config(aesthetic=None), context)
    base = dict.fromkeys(stage.spec.reads) | {"samples.metadata": '{"keywords": ["koi", 3], "title": ["x"]}'}
    declared = {
        "metadata.ai_declared": True,
        "metadata.ai_evidence": ["c2pa: made"],
        "metadata.title": "旗袍",
    }
    rows = [base | declared, base | {"quality.ai_forensic": 0.75}, base | {"samples.metadata": "[["}]
    found = stage(pa.Table.from_pylist(rows), NullMonitor()).to_pylist()
    assert [r["ai_generated"] for r in found] == [1.0, 0.75, None]
    assert [r["ai_evidence"] for r in found] == [["c2pa: made"], ["forensic: 0.75"], []]
    assert [r["culture"] for r in found] == [["qipao", "koi"], ["koi"], []]


def test_head_of_real_layout_scores_a_dataset(clip, zcurate, tmp_path):
    import torch

    torch.manual_seed(1)
    layer = torch.nn.Linear(24, 1)
    with torch.no_grad():
        layer.bias.fill_(5)
    torch.save(layer.state_dict(), tmp_path / "sa_0_4_linear.pth")
    code, _, err = zcurate(
        *("run", "scores", clip, "--engine", "inline"),
        "--set",
        f"aesthetic=linear:{tmp_path}/sa_0_4_linear.pth",
    )
    assert code == 0, err
    rows = rows_of(clip, "embedding.vector")
    vectors = torch.tensor([r["embedding.vector"] for r in rows.values()], dtype=torch.float32)
    wanted = layer(vectors).detach().numpy()[:, 0]
    np.testing.assert_allclose([r["aesthetic"] for r in rows.values()], wanted, atol=1e-4)


@pytest.mark.parametrize("columns", [("sample_id", "score"), ("key", "label")])
def test_train_head_and_use_it(plain, zcurate, tmp_path, columns):
    rows = rows_of(plain)
    ids = {k: r["sample_id"].hex() for k, r in rows.items()}
    taste = {k: (8.0 if int(k[-2:]) % 2 == 0 else 3.0) for k in ids if k.startswith("p")}
    labels, head = tmp_path / "taste.csv", tmp_path / "taste.safetensors"
    with labels.open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(columns)
        writer.writerows([ids[k] if columns[0] == "sample_id" else k, v] for k, v in taste.items())
        writer.writerow(["0" * 32, 5])
    command = ("train-head", "--dataset", plain, "--labels", labels, "--out", head)
    code, text, err = zcurate(*command, "--json")
    assert code == 0, err
    facts = json.loads(text)
    assert (facts["labels"], facts["used"], facts["groups"], facts["unmatched"]) == (41, 40, 40, 1)
    assert facts["metrics"]["srcc"] > 0.8
    card = (tmp_path / "taste.md").read_text()
    assert "40 used, 1 named no sample" in card
    assert f"{facts['metrics']['srcc']:.4f}" in card
    before = head.read_bytes()
    assert zcurate(*command)[0] == 0
    assert head.read_bytes() == before, "training is deterministic"
    code, _, err = zcurate("run", "scores", plain, "--engine", "inline", "--set", f"aesthetic=linear:{head}")
    assert code == 0, err
    scored = rows_of(plain)
    warm = [scored[k]["aesthetic"] for k, v in taste.items() if v == 8]
    cold = [scored[k]["aesthetic"] for k, v in taste.items() if v == 3]
    assert np.mean(warm) > np.mean(cold) + 2
    zcurate("run", "scores", plain, "--engine", "inline", "--set", "aesthetic=embedded")


def test_train_a_logistic_head_with_copies(plain, zcurate, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    keys = [f"p{i:02d}" for i in range(40)] + [f"copy{i}" for i in range(4)]
    made = [int(k[-1:]) % 2 == 0 for k in keys]
    pq.write_table(pa.table({"key": keys, "label": made}), tmp_path / "ai.parquet")
    head = tmp_path / "ai.safetensors"
    code, text, err = zcurate(
        *("train-head", "--dataset", plain, "--labels", tmp_path / "ai.parquet", "--out", head),
        *("--kind", "logistic", "--folds", "4"),
    )
    assert code == 0, err
    assert "44 labels in 40 groups of copies" in text
    assert "AUC" in text
    # tied to the encoder's weights and version, not to its name alone
    assert re.fullmatch(r"embedded:\d+:sha256:[0-9a-f]{64}@\d+", LinearHead(str(head)).info.encoder)
    code, _, err = zcurate(
        "run", "scores", plain, "--engine", "inline", "--set", f"ai_generated=linear:{head}"
    )
    assert code == 0, err
    rows = rows_of(plain)
    wrong = sum((rows[k]["ai_generated"] > 0.5) != m for k, m in zip(keys, made, strict=True))
    assert wrong <= 4
    assert all(r["ai_evidence"] == [] for r in rows.values() if r["ai_generated"] < 0.5)
    zcurate("run", "scores", plain, "--engine", "inline", "--set", "ai_generated=null")


def test_unfit_heads_are_refused_when_planning(images, openclip_dir, tmp_path):
    wrong = tmp_path / "wrong.safetensors"
    write_head(wrong, [(np.ones((1, 7)), np.ones(1))], HeadInfo(7, "regression", (1, 10), None, "zcurate"))
    other = tmp_path / "other.safetensors"
    info = HeadInfo(24, "regression", (1, 10), "openclip:sha256:other", "zcurate")
    write_head(other, [(np.ones((1, 24)), np.ones(1))], info)

    def plan(model="embedded", **settings):
        plan_stages(recipe_of(images, tmp_path / "ds", model, settings), {})

    clip = f"openclip:{openclip_dir}"
    with pytest.raises(HeadError, match=r"7 numbers, but openclip:.* gives 24"):
        plan(clip, aesthetic=f"linear:{wrong}")
    with pytest.raises(HeadError, match="trained with openclip:sha256:other"):
        plan(clip, aesthetic=f"linear:{other}")
    with pytest.raises(HeadError, match=r"nowhere\.pth: cannot be read"):
        plan(aesthetic="linear:nowhere.pth")
    with pytest.raises(ConfigError, match="'magic': it is embedded, linear:FILE or null"):
        plan(aesthetic="magic")
    with pytest.raises(ConfigError, match="no head engine"):
        plan(ai_generated="magic")
    identity = StageContext().encoder_identity(clip)
    fits = HeadInfo(24, "regression", (1, 10), identity, "zcurate")
    write_head(other, [(np.ones((1, 24)), np.ones(1))], fits)
    plan(clip, aesthetic=f"linear:{other}")
    with pytest.raises(ConfigError, match="a logistic head is needed"):
        plan(clip, ai_generated=f"linear:{other}")
    raw = recipe_of(images, tmp_path / "ds").model_dump(mode="json")
    raw["stages"] = {"profile": {}, "scores": {"aesthetic": f"linear:{other}"}}
    with pytest.raises(ConfigError, match="no embed stage"):
        plan_stages(build_recipe(raw, "test"), {})


def test_a_changed_head_or_list_changes_the_folder(images, openclip_dir, tmp_path, monkeypatch):
    head = tmp_path / "h.safetensors"
    model = f"openclip:{openclip_dir}"

    def folder(value):
        identity = StageContext().encoder_identity(model)
        info = HeadInfo(24, "regression", (1, 10), identity, "zcurate")
        write_head(head, [(np.full((1, 24), value), np.ones(1))], info)
        plan = plan_stages(recipe_of(images, tmp_path / "ds", model, {"aesthetic": f"linear:{head}"}), {})
        return plan.path("scores")

    first = folder(1.0)
    assert folder(2.0) != first
    assert folder(1.0) == first
    monkeypatch.setattr("zcurate.curation.scoring.data_files.data_digest", lambda: "another")
    assert folder(1.0) != first


def test_not_finite_embeddings_are_error_rows(tmp_path):
    import pyarrow as pa

    from zcurate.curation.stage import NullMonitor

    context = StageContext(groups=frozenset({"embedding"}), settings={"embed": {"model": "embedded"}})
    stage = scores_stage.build(scores_stage.Config(aesthetic=None), context)
    dim = context.encoder("embedded").dim
    vectors = np.ones((2, dim), np.float16)
    vectors[1, 3] = np.nan
    rows = dict.fromkeys([c for c in stage.spec.reads if not c.startswith("embedding")])
    table = pa.Table.from_pylist([rows, rows])
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dim)
    table = table.append_column("embedding.vector", lists)
    table = table.append_column("embedding.text_vector", pa.nulls(2, lists.type))
    found = stage(table, NullMonitor()).to_pylist()
    assert [r["_status"] for r in found] == ["ok", "error"]
    assert found[1]["_error_class"] == "VectorError"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key,label\n", "no rows"),
        ("name,label\na,1\n", "sample_id or key"),
        ("key,value\na,1\n", "label or score"),
        ("key,label\na,11\n", "row 1.*--range"),
        ("key,label\na,5\nb,nan\n", "row 2"),
        ("key,label\na,good\n", "row 1.*'good'"),
        ("key,label\n,3\n", "row 1"),
        ("key,label\na,1,2\n", "cannot be read"),
    ],
)
def test_wrong_labels_are_named(tmp_path, text, message):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(LabelError, match=message):
        read_labels(tmp_path / "l.csv", "regression", (1, 10))


def test_labels_keep_keys_as_text(tmp_path):
    (tmp_path / "l.csv").write_text("key,label,source\n00012,1,\n7e2,0,web\n")
    lines = read_labels(tmp_path / "l.csv", "logistic", (0, 1))
    assert [(n.name, n.source, n.value) for n in lines] == [("00012", None, 1.0), ("7e2", "web", 0.0)]
    (tmp_path / "l.csv").write_text("key,label\na,0.5\n")
    with pytest.raises(LabelError, match="takes 0 and 1"):
        read_labels(tmp_path / "l.csv", "logistic", (0, 1))
    for name in ("absent.csv", "labels.xlsx"):
        with pytest.raises(LabelError, match=name):
            read_labels(tmp_path / name, "regression", (1, 10))


def test_train_head_says_what_is_missing(plain, zcurate, tmp_path):
    labels = tmp_path / "l.csv"
    labels.write_text("key,label\nnobody,5\n")
    out = ("--out", tmp_path / "h.safetensors")
    code, _, err = zcurate("train-head", "--dataset", plain, "--labels", labels, *out)
    assert code == 2
    assert "none of 1 labels" in err
    code, _, err = zcurate("train-head", "--dataset", plain, "--labels", labels, "--out", tmp_path / "h.pth")
    assert code == 2
    assert ".safetensors" in err
    code, _, err = zcurate("train-head", "--dataset", plain, "--labels", labels, *out, "--range", "5")
    assert code == 2
    assert "--range" in err
    labels.write_text("key,label\n" + "".join(f"p{i:02d},5\n" for i in range(40)))
    code, _, err = zcurate("train-head", "--dataset", plain, "--labels", labels, *out)
    assert code == 2
    assert "every label is 5" in err
    assert not (tmp_path / "h.safetensors").exists()


def test_faces_and_nsfw_by_the_detector(tmp_path):
    pytest.importorskip("nudenet")
    data = pytest.importorskip("skimage.data")
    (tmp_path / "in").mkdir()
    for name in ("astronaut", "coffee"):
        Image.fromarray(getattr(data, name)()).save(tmp_path / "in" / f"{name}.png")
    recipe = recipe_of(tmp_path / "in", tmp_path / "ds", scores={"faces": "nudenet", "nsfw": "nudenet"})
    assert build(recipe, BuildOptions(engine="inline", quiet=True)).exit_code == 0
    rows = rows_of(tmp_path / "ds")
    assert {k: r["faces"] for k, r in rows.items()} == {"astronaut": 1, "coffee": 0}
    assert all(0 <= r["nsfw"] < 0.5 for r in rows.values())
    assert {r["people"] for r in rows.values()} == {None}


def test_a_detector_that_is_not_installed_is_named_when_planning(images, tmp_path, monkeypatch):
    monkeypatch.setattr("zcurate.curation.scoring.detector.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'zcurate\[safety\]'"):
        plan_stages(recipe_of(images, tmp_path / "ds", scores={"faces": "nudenet"}), {})


def test_a_key_of_two_sources_needs_the_source(images, zcurate, tmp_path):
    small = tmp_path / "in"
    small.mkdir()
    for i in range(5):
        (small / f"p{i:02d}.png").write_bytes((images / f"p{i:02d}.png").read_bytes())
    raw = recipe_of(small, tmp_path / "ds").model_dump(mode="json")
    raw["sources"] = [{"name": n, "root": str(small), "kind": "folder"} for n in ("a", "b")]
    assert build(build_recipe(raw, "test"), BuildOptions(engine="inline", quiet=True)).exit_code == 0
    command = ("train-head", "--dataset", tmp_path / "ds", "--labels", tmp_path / "l.csv")
    command += ("--out", tmp_path / "h.safetensors", "--folds", "2", "--json")
    (tmp_path / "l.csv").write_text("key,score\np00,5\n")
    code, _, err = zcurate(*command)
    assert code == 2
    assert "source column" in err
    lines = "".join(f"p{i:02d},{i + 1},{n}\n" for i in range(5) for n in ("a", "b"))
    (tmp_path / "l.csv").write_text("key,score,source\n" + lines)
    code, text, err = zcurate(*command)
    assert code == 0, err
    assert (json.loads(text)["used"], json.loads(text)["groups"]) == (10, 5)


def test_groups_of_copies():
    contents = [b"a", b"b", b"a", b"c", b"d"]
    copies = [b"1", b"1", None, None, b"2"]
    groups = number_groups(contents, copies)
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups.tolist())) == 3
    order = [4, 2, 0, 3, 1]
    again = number_groups([contents[i] for i in order], [copies[i] for i in order])
    np.testing.assert_array_equal(again, groups[order])
