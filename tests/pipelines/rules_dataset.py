"""Three small sources for tests of rules, rates and quotas, and scores from a stage of one's own."""

import numpy as np
import pytest
from PIL import Image

from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.recipe import build_recipe

SCORES = '''
"""Scores for tests, as the text beside each picture says: `AESTHETIC TAG TAG ...`."""
import pyarrow as pa
from pydantic import BaseModel
from zcurate.curation.stage import StageSpec, field_of, map_rows

class Config(BaseModel):
    pass

OUTPUT = pa.schema([
    field_of("aesthetic", pa.float32(), "how good it looks", "1..10"),
    field_of("tags", pa.list_(pa.string()), "what is in it"),
    field_of("nsfw", pa.float32(), "never filled in here"),
])

class Scores:
    spec = StageSpec("scores", 1, ("samples.text", "profile.content_id"), {"scores": OUTPUT})

    def setup_node(self):
        pass

    def setup(self):
        pass

    def __call__(self, table, monitor):
        def one(row):
            first, *tags = row["samples.text"].split()
            return {"aesthetic": float(first), "tags": tags, "nsfw": None}
        return map_rows(table, one, OUTPUT, monitor)

def build(config, context):
    return Scores()
'''


HOSTILE = "<script>alert(1)</script>"


def picture(seed, size=(320, 240)):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)


def put(folder, name, image, text):
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / f"{name}.png")
    (folder / f"{name}.txt").write_text(text)


def fill(root):
    """web-a: 12 pictures, one copy and one broken file; web-b: 8, half of them small; museum: 10, three with dogs."""
    for i in range(12):
        put(root / "web-a", f"a{i:02d}", picture(i), f"{1 + i % 9} object")
    put(root / "web-a", "copy", picture(3), "4 object")
    (root / "web-a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    (root / "web-a" / "broken.txt").write_text("5 object")
    for i in range(8):
        put(root / "web-b", f"b{i}", picture(100 + i, (320, 240) if i % 2 else (150, 120)), "6 logo")
    for i in range(10):
        put(root / "museum", f"m{i}", picture(200 + i), f"7 painting {'dog' if i < 3 else HOSTILE}")


STAGES = {
    "profile": {},
    "filter": {
        "rules": {"too_small": {"drop_if": "short_side_px < 200", "reason": "too few pixels"}},
        "sources": {
            "museum": {"odd": {"drop_if": "frames > 1 or aspect > 9", "reason": "museums have no films"}},
            "web-b": {"too_small": {"drop_if": "short_side_px < 100"}},
        },
    },
    "embed": {},
    "zcrules.scores": {},
    "filter_scores": {
        "rules": {"ugly": "aesthetic < 2.5", "dogs": {"drop_if": '"dog" in tags', "reason": "no dogs here"}}
    },
    "dedup": {},
    "sampling": {"seed": 1, "sources": {"web-*": {"quota": 5}, "museum": {"rate": 0.6}}},
    "ocr": {},
    "caption": {},
    "concepts": {},
    "balance": {},
}


def recipe(root, ds, stages=STAGES, **more):
    return build_recipe(
        {
            "name": "rules",
            "dataset": str(ds),
            "rows_per_shard": 9,
            "sources": [{"name": n, "root": str(root / n)} for n in ("web-a", "web-b", "museum")],
            "stages": stages,
            **more,
        },
        "test",
    )


def run(recipe):
    outcome = build(recipe, BuildOptions(engine="inline", quiet=True))
    assert outcome.result.complete, outcome.result.failed
    return outcome


@pytest.fixture(scope="module")
def scores_module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    (folder / "zcrules").mkdir()
    (folder / "zcrules" / "__init__.py").write_text("")
    (folder / "zcrules" / "scores.py").write_text(SCORES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory, scores_module):
    """(dataset, record, export folder) of a build with every stage."""
    root = tmp_path_factory.mktemp("rules")
    fill(root / "in")
    export = [{"format": "parquet", "out": str(root / "out"), "include_placeholders": True}]
    outcome = run(recipe(root / "in", root / "ds", export=export))
    return root / "ds", outcome.record
