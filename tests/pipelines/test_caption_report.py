"""`zcurate caption-report` and `describe-pair` as a user meets them, on datasets captioned through a real server."""

import json

import pyarrow.parquet as pq
import pytest

from ..captioner.server import Reply, VlmServer, images_of
from .pictures import asked_for, draw, honest, lettering, make_folder


def flawed(body):
    """Honest, but for picture 5 it always refuses, and it never sees the lettering of picture 3."""
    schema, i = asked_for(body)
    if i == 5:
        return Reply("I'm sorry, but I can't help with describing this image.")
    if i == 3 and schema == "lettering":
        return Reply('{"ocr": []}')
    if i == 3:
        return Reply(honest(body).text.replace(" White capitals across the middle read “SHOP 3”.", "").replace(
            "中间的白色大写字母写着“SHOP 3”。", "").replace(', "“SHOP 3”"', ""))  # fmt: skip
    return honest(body)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Two datasets of the same nine pictures: one captioned by an honest model, one by a flawed one."""
    from zcurate.pipelines.build import BuildOptions, build
    from zcurate.pipelines.recipe import load_recipe

    base = tmp_path_factory.mktemp("captions")
    folder = make_folder(base / "in", range(9))
    outs = []
    with VlmServer() as server:
        for name, script in (("honest", honest), ("flawed", flawed)):
            server.script = script
            sets = [
                f"source={folder}",
                f"out={base / name}",
                f"vlm={server.engine}",
                "rows_per_shard=4",
                "report=false",
            ]
            build(load_recipe("caption", sets), BuildOptions(engine="inline", quiet=True))
            outs.append(base / name)
    truth = base / "truth.json"
    truth.write_text(json.dumps({f"{i:03d}.png": lettering(i) for i in range(9)} | {"nowhere": ["x"]}))
    return *outs, truth


def test_figures_of_an_honest_model(datasets, zcurate):
    good, _, truth = datasets
    code, printed, errors = zcurate("caption-report", good, "--truth", truth, "--json")
    assert code == 0, errors
    found = json.loads(printed)
    assert found["rows"] == {"ok": 9}
    assert found["truth"] == {"rows": 9, "unused": 1}
    model = found["model"]
    assert model["rows"] == 9
    for reference in ("truth", "ocr_stage"):
        for where in ("long_en", "long_zh", "model_ocr"):
            words = model["lettering"][reference][where]["en"]
            assert words["recall"] == 1.0, (reference, where)
            assert words["reference"] == 6
    assert model["rates"]["language_leak_long_zh"] == 0
    assert model["rates"]["wrong_language_long"] == 0
    assert model["tokens_out"] == 9 * 2 * 20
    assert model["lengths"]["en"]["long"]["n"] == 9
    assert found["speed"]["images"] == 9
    assert "does not read texts" in found["clip"] or "no embedding" in found["clip"]
    assert "placeholder" not in found


def test_a_flawed_model_beside_it(datasets, zcurate, tmp_path):
    good, flawed_one, truth = datasets
    review, page = tmp_path / "review.parquet", tmp_path / "page.html"
    options = ["--truth", truth, "--review", review, "--html", page]
    code, printed, errors = zcurate("caption-report", flawed_one, "--against", good, *options)
    assert code == 0, errors
    assert "rows without captions: refusal" in printed
    rows = pq.read_table(review).to_pylist()
    assert [r["key"] for r in rows] == ["003"]
    assert rows[0]["reasons"] == [{"name": "missing_lettering", "value": 1.0}]
    ids = tmp_path / "review.txt"
    assert zcurate("caption-report", flawed_one, "--truth", truth, "--review", ids)[0] == 0
    assert ids.read_text() == rows[0]["sample_id"].hex() + "\n"
    code, printed, errors = zcurate(
        "prune", flawed_one, "--ids", ids, "--reason", "lettering", "--dry-run", "--json"
    )
    assert code == 0, errors
    assert json.loads(printed)["samples"] == 1
    html = page.read_text()
    assert "A model" in html
    assert "missing lettering" in html
    assert "not in a long caption" in html, "the strings themselves are named"
    assert "No CLIPScore: no embedding stage in the recipe" in html
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    code, printed, _ = zcurate(
        "caption-report", flawed_one, "--truth", truth, "--json", "--limit", "missing_lettering=off"
    )
    found = json.loads(printed)
    assert found["failures"] == {"refusal": 1}
    assert found["review"]["rows"] == 0
    assert found["model"]["lettering"]["truth"]["long_en"]["en"]["recall"] == pytest.approx(4 / 6)


def test_placeholders_are_reported_apart(tmp_path, zcurate):
    make_folder(tmp_path / "in", range(3))
    sets = [f"source={tmp_path / 'in'}", f"out={tmp_path / 'ds'}", "vlm=template"]
    arguments = [a for s in sets for a in ("--set", s)]
    code, _, errors = zcurate("build", "caption", "--engine", "inline", *arguments)
    assert code == 0, errors
    code, printed, _ = zcurate("caption-report", tmp_path / "ds", "--json", "--html", tmp_path / "p.html")
    found = json.loads(printed)
    assert "model" not in found
    assert found["placeholder"]["rows"] == 3
    assert found["review"]["rows"] == 0
    assert "no model looked" in (tmp_path / "p.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "blur=1"], "there is missing_lettering"),
        (["--limit", "repetition=often"], "a number or off"),
        (["--truth", "broken.json"], "needs key and texts"),
        (["--folder", "captions/none"], "there are captions/"),
    ],
)
def test_mistakes_are_named(datasets, zcurate, tmp_path, arguments, message):
    (tmp_path / "broken.json").write_text('{"key": 1}\n{"no')
    code, _, errors = zcurate("caption-report", datasets[0], *arguments)
    assert code in (1, 2)
    assert message in errors


def pair_model(body):
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("name", "")
    if schema == "pair_analysis":
        assert len(images_of(body)) == 2
        changed = {"kind": "attribute", "what": "the board", "before": "blue", "after": "green"}
        return Reply(json.dumps({"unchanged": "The plate.", "differences": [changed]}))
    if schema == "pair_instruction":
        to_green = '"after": "green"' in json.dumps(body, ensure_ascii=False).replace('\\"', '"')
        color = ("green", "绿色") if to_green else ("blue", "蓝色")
        return Reply(json.dumps({"en": f"Make the board {color[0]}.", "zh": f"把木板改成{color[1]}。"}))
    return honest(body)


def test_describe_pair(tmp_path, zcurate, vlm_server):
    draw(1).save(tmp_path / "a.png")
    draw(2).save(tmp_path / "b.png")
    vlm_server.script = pair_model
    code, printed, errors = zcurate("describe-pair", "a.png", "b.png", "--vlm", vlm_server.engine, "--json")
    assert code == 0, errors
    found = json.loads(printed)
    assert found["forward"] == {"en": "Make the board green.", "zh": "把木板改成绿色。"}
    assert found["backward"] == {"en": "Make the board blue.", "zh": "把木板改成蓝色。"}
    assert "wooden sign" in found["source"]["en"]
    assert "木牌" in found["target"]["zh"]
    code, printed, _ = zcurate("describe-pair", "a.png", "a.png", "--vlm", vlm_server.engine)
    assert (code, printed.strip()) == (0, "no difference")


def test_describe_pair_by_specification_or_not_at_all(tmp_path, zcurate):
    draw(1).save(tmp_path / "a.png")
    code, _, errors = zcurate("describe-pair", "a.png", "a.png")
    assert code == 2
    assert "no_spec" in errors
    edits = [{"kind": "text", "before": "OPEN", "after": "休息"}]
    (tmp_path / "edits.json").write_text(json.dumps(edits))
    code, printed, errors = zcurate("describe-pair", "a.png", "a.png", "--edits", "edits.json")
    assert code == 0, errors
    assert 'forward en: Change the text "OPEN" to "休息".' in printed
    (tmp_path / "edits.json").write_text('[{"kind": "add", "after": "ball"}]')
    code, _, errors = zcurate("describe-pair", "a.png", "a.png", "--edits", "edits.json")
    assert code == 2
    assert "bad_spec" in errors


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory):
    """A Chinese-CLIP of random weights, saved as the real ones are."""
    import torch
    from transformers import BertTokenizer, ChineseCLIPConfig, ChineseCLIPImageProcessor, ChineseCLIPModel

    torch.manual_seed(0)
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    letters = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"一块带有白色圆盘的红绿蓝灰木牌立在墙前"]
    directory = tmp_path_factory.mktemp("clip")
    config = ChineseCLIPConfig(
        text_config={**tower, "vocab_size": len(letters), "max_position_embeddings": 128},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        projection_dim=20,
    )
    ChineseCLIPModel(config).eval().save_pretrained(directory)
    size = {"height": 32, "width": 32}
    ChineseCLIPImageProcessor(size=size, crop_size=size).save_pretrained(directory)
    (directory / "vocab.txt").write_text("\n".join(letters), encoding="utf-8")
    BertTokenizer(str(directory / "vocab.txt")).save_pretrained(directory)
    return directory


def test_clip_scores_come_from_the_datasets_own_encoder(tmp_path, tiny_clip, vlm_server, zcurate):
    from zcurate.pipelines.build import BuildOptions, build
    from zcurate.pipelines.recipe import load_recipe
    from zcurate.pipelines.registry import resolve
    from zcurate.pipelines.view import open_view

    make_folder(tmp_path / "in", range(3))
    vlm_server.script = honest
    sets = [f"source={tmp_path / 'in'}", f"out={tmp_path / 'ds'}", f"vlm={vlm_server.engine}", "report=false"]
    recipe = load_recipe("caption", sets)
    stages = {"profile": recipe.stages["profile"], "embed": {"model": f"cnclip:{tiny_clip}"}}
    recipe = recipe.model_copy(update={"stages": stages | {"caption": recipe.stages["caption"]}})
    build(recipe, BuildOptions(engine="inline", quiet=True))
    code, printed, errors = zcurate("caption-report", tmp_path / "ds", "--json")
    assert code == 0, errors
    found = json.loads(printed)
    assert found["clip"] == ""
    encoder, wanted = resolve("encoder", f"cnclip:{tiny_clip}"), []
    view = open_view(str(tmp_path / "ds"))
    for _, table in view.tables(["embedding.vector", "captions.zh_short"]):
        texts = encoder.encode_texts(table.column("captions.zh_short").to_pylist())
        images = table.column("embedding.vector").to_pylist()
        wanted += [
            2.5 * max(0.0, sum(a * b for a, b in zip(i, t, strict=True)))
            for i, t in zip(images, texts, strict=True)
        ]
    values = found["model"]["values"]
    assert values["clip_short"]["mean"] == pytest.approx(sum(wanted) / 3, abs=0.005)
    assert values["clip_long_max"]["mean"] >= values["clip_long_mean"]["mean"]
