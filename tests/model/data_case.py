"""Exports of small pictures, written by the real exporters, for the tests of the data feed."""

import io

import numpy as np
import pyarrow as pa
import xxhash
from PIL import Image

from zcurate.curation.edits.balancing import Sampling
from zcurate.curation.edits.exporting import PairRecord
from zcurate.curation.edits.exporting import write_parquet as write_pairs_parquet
from zcurate.curation.edits.exporting import write_webdataset as write_pairs_webdataset
from zcurate.curation.export import ParquetOptions, WebDatasetOptions, export_parquet, export_webdataset
from zcurate.curation.export.rows import CAPTION_TYPES

TYPES = {
    "sample_id": pa.binary(16),
    "content_id": pa.binary(16),
    "width_px": pa.int32(),
    "height_px": pa.int32(),
    "weight": pa.float64(),
    "placeholder": pa.bool_(),
    **CAPTION_TYPES,
}
SIZES = ((48, 32), (32, 48), (40, 40), (64, 32), (96, 64), (33, 47))


def pixels(seed, width, height):
    """Smooth, so that resized ones stay near."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR))


def encoded(array, form="PNG"):
    out = io.BytesIO()
    Image.fromarray(array).save(out, form)
    return out.getvalue()


def id_of(number):
    return xxhash.xxh3_128_digest(b"sample %d" % number)


def rows_of(count, repainted=(), **values):
    """Rows and the files behind them. `values` may be functions of the row's number; pictures of `repainted` are others."""
    rows, files = [], {}
    for i in range(count):
        width, height = SIZES[i % len(SIZES)]
        data = encoded(pixels(i + 500 * (i in repainted), width, height))
        files[f"{i}.png"] = data
        row = {
            "sample_id": id_of(i),
            "content_id": xxhash.xxh3_128_digest(data),
            "source": "pictures",
            "uri": f"{i}.png",
            "key": f"folder/{i}",
            "format": "PNG",
            "width_px": width,
            "height_px": height,
            "text": f"alt {i}",
            "origin": "camera",
            "license": "CC0",
            "weight": 1.0 + i % 3,
            "en_long": f"A long caption of number {i} in words",
            "en_medium": f"A medium caption {i}",
            "en_short": f"Short {i}",
            "en_tags": ["one", f"tag{i}"],
            "en_user_prompts": [f"draw {i}", f"please paint number {i}"],
            "zh_long": f"第{i}张图片的长描述",
            "zh_medium": f"第{i}张中等描述",
            "zh_short": f"图{i}",
            "zh_tags": ["一", f"标{i}"],
            "zh_user_prompts": [f"画{i}"],
            "en_enhanced": f"An enhanced prompt of {i}",
            "zh_enhanced": None,
            "engine": "vlm",
            "model": "m",
            "placeholder": False,
        }
        rows.append(row | {k: v(i) if callable(v) else v for k, v in values.items()})
    return rows, files


def export(folder, count=24, form="webdataset", rows_per_shard=8, **values):
    """Write an export; returns its rows."""
    rows, files = rows_of(count, **values)
    table = pa.table(
        {name: pa.array([r[name] for r in rows], TYPES.get(name, pa.string())) for name in rows[0]}
    )

    def read(source, uri, container, member, offset, length):
        return files[uri]

    if form == "webdataset":
        options = WebDatasetOptions(max_rows=rows_per_shard, include_placeholders=True)
        export_webdataset([table], read, folder, options)
    else:
        options = ParquetOptions(rows_per_file=rows_per_shard, images=True, include_placeholders=True)
        export_parquet([table], read, folder, options)
    return rows


def pair(number, split="train", sources=1, verdict="accept"):
    """A pair with its bytes: the target is the source with a red block."""
    width, height = SIZES[number % len(SIZES)]
    base = [pixels(1000 + number * 7 + s, width, height) for s in range(sources)]
    target = base[0].copy()
    target[:8, :8] = (255, 0, 0)
    facts = {
        "pair_id": xxhash.xxh3_128_hexdigest(b"pair %d" % number),
        "group_id": xxhash.xxh3_128_hexdigest(b"group"),
        "split": split,
        "kind": "edit",
        "en_short": f"Add red block {number}",
        "en_long": f"Please add a red block to the corner of picture {number}",
        "zh_short": f"加红块{number}",
        "zh_long": f"请在第{number}张图的角上加一个红色的方块",
        "instructed_by": "specification",
        "types": ["object.add"],
        "imgedit": [],
        "spec": None,
        "target_is_real": False,
        "invents": False,
        "verdict": verdict,
        "reasons": [],
        "license": "CC0",
        "weight": 1.0 + number % 2,
    }
    return PairRecord(facts, tuple(encoded(b) for b in base), encoded(target), None)


def export_pairs(folder, pairs, form="webdataset", pairs_per_shard=4):
    write = write_pairs_webdataset if form == "webdataset" else write_pairs_parquet
    about = {"name": "pairs", "dataset_url": "", "settings": {}, "stages": ["edits"]}
    return write(pairs, folder, Sampling(), about, most_pairs=pairs_per_shard)
