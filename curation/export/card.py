"""`dataset_card.md`: what is in an export, rendered from its record alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

CARD_NAME = "dataset_card.md"

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_SIZES += ((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))

#: Identifiers of the licenses that Hugging Face cards know, by their SPDX-like lower-case form.
_HUB_LICENSES = {"apache-2.0", "mit", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0"}
_HUB_LICENSES |= {"cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "odc-by", "odbl"}
_HUB_LICENSES |= {"bsd-3-clause", "gpl-3.0", "unlicense"}
_LICENSE_ALIASES = {"cc0": "cc0-1.0", "cc by 4.0": "cc-by-4.0", "cc by-sa 4.0": "cc-by-sa-4.0"}


def _text(value: object) -> str:
    """Untrusted text (source names, licenses) inside a Markdown table cell."""
    line = " ".join(str(value).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~!&])", r"\\\1", line)


def _count(value: int) -> str:
    return f"{value:,}"


def _table(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" + "---:|" * (len(header) - 1)]
    for row in rows:
        cells = [_count(c) if isinstance(c, int) else _text(c) for c in row]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _shares(counts: Mapping[str, int], title: str, total: int) -> list[str]:
    ordered = sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))
    rows = [(name, count, f"{count / total:.1%}" if total else "") for name, count in ordered]
    return _table((title, "rows", "share"), rows)


def _license(counts: Mapping[str, int]) -> str:
    names = {_LICENSE_ALIASES.get(n.strip().lower(), n.strip().lower()) for n in counts}
    if len(names) == 1 and (name := next(iter(names))) in _HUB_LICENSES:
        return name
    return "other"


def _front_matter(record: Mapping[str, Any]) -> str:
    exported = record["exported"]
    size = next((label for limit, label in _SIZES if exported["rows"] < limit), "n>1B")
    data = "*.tar" if record["format"] == "webdataset" else "captions-*.parquet"
    head = {
        "license": _license(exported["by_license"]),
        "task_categories": ["text-to-image"],
        "language": ["en", "zh"],
        "pretty_name": " ".join(record["name"].split()),
        "size_categories": [size],
        "tags": [record["format"], "image-text"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": data}]}],
    }
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True)


_LOAD_WEBDATASET = """```python
import webdataset as wds

shards = "{shards}"
data = wds.WebDataset(shards, shardshuffle=False).decode("pil")
for sample in data:
    image = next(sample[e] for e in ("jpg", "png", "webp", "gif", "bmp", "tiff") if e in sample)
    caption, facts = sample["txt"], sample["json"]  # facts["weight"] is the sampling weight
```

```python
from datasets import load_dataset  # all samples must share one image format; else export Parquet with images

data = load_dataset("webdataset", data_files="*.tar", split="train")
```

`index.parquet` holds the byte offset and length of every image in its shard, for random access.
Member names percent-encode what a reader could misread; `json["key"]` is the original key."""

_LOAD_PARQUET = """```python
from datasets import load_dataset

data = load_dataset("parquet", data_files="captions-*.parquet", split="train")
```"""


def render_card(record: Mapping[str, Any]) -> str:
    """A Hugging Face dataset card of an export. Holds no ids and no time: same record, same bytes.

    Args:
        record: the content of `export.json`.
    """
    exported, total = record["exported"], record["exported"]["rows"]
    shards = sum(1 for name in record["files"] if name.endswith(".tar"))
    lines = ["---", _front_matter(record).rstrip(), "---", "", f"# {_text(record['name'])}", ""]
    lines += [f"{_count(total)} samples, written by zcurate as {record['format']}.", ""]
    lines += [
        "Sampling weights: effective sample size "
        f"{exported['effective_sample_size']:,.1f} of {_count(total)} rows "
        "((sum w)² / sum w²). Original bytes, keys and texts are unchanged.",
        "",
        "## Load",
        "",
    ]
    if record["format"] == "webdataset":
        span = f"{{00000..{max(shards - 1, 0):05d}}}.tar" if shards > 1 else "00000.tar"
        lines += [_LOAD_WEBDATASET.replace("{shards}", span), ""]
    else:
        lines += [_LOAD_PARQUET, ""]
    lines += ["`uids.npy` lists the sample ids in DataComp's subset format (sorted, two u8 per uid).", ""]

    lines += ["## Contents", ""]
    lines += _shares(exported["by_source"], "source", total)
    lines += _shares(exported["by_origin"], "origin", total)
    lines += _shares(exported["by_license"], "license", total)

    lines += ["## Captions", ""]
    lines += _shares(exported["by_engine"], "caption engine", total)
    lines += _shares(exported["by_caption_kind"], "training caption", total)
    share = exported["placeholders"] / total if total else 0.0
    included = record["settings"].get("include_placeholders")
    lines += [
        f"{_count(exported['placeholders'])} rows ({share:.1%}) have placeholder captions only, "
        + ("which are included." if included else "which are left out; their alt text is used instead."),
        "",
        "## Selection",
        "",
    ]
    if record["funnel"]:
        lines += _table(("step", "rows left"), [tuple(step) for step in record["funnel"]])
    if record["drop_reasons"]:
        lines += _table(("reason for dropping", "rows"), list(record["drop_reasons"].items()))
    lines += _table(
        ("export", "rows"),
        [
            ("selected", record["given"]),
            ("left out: made by a model", record["refused_model_origin"]),
            ("left out: original unreadable or changed", record["unreadable_count"]),
            ("taken down since", record["taken_down"]),
            ("in this export", total),
        ],
    )
    if record["recipe_hash"]:
        lines += [f"Recipe `{re.sub(r'[^0-9A-Za-z._-]', '', record['recipe_hash'])}`.", ""]
    return "\n".join(lines).rstrip() + "\n"
