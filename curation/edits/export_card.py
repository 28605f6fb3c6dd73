"""`dataset_card.md` of exported pairs: what they are, how they were chosen, how to load them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

CARD_NAME = "dataset_card.md"

_LOAD = {
    "edit_pairs_webdataset": """```python
import webdataset as wds

data = wds.WebDataset("{files}", shardshuffle=False).decode("pil")
for pair in data:
    sources = [pair[n] for n in sorted(pair) if n.startswith("source")]
    target, mask, facts = pair["target.png"], pair.get("mask.png"), pair["json"]
    instruction, weight = facts["en_short"], facts["weight"]
```""",
    "edit_pairs_parquet": """```python
from datasets import load_dataset

data = load_dataset("parquet", data_files="pairs-*.parquet", split="train")
pair = data[0]  # sources (1 to 4 pictures), target, mask or None, en_short, zh_long, types, spec, weight, ...
```""",
}


def card(record: Mapping[str, Any]) -> str:
    """Markdown, from the record alone."""
    exported, sampling = record["exported"], record["sampling"]
    tars = sorted(n for n in record["files"] if n.endswith(".tar"))
    files = f"{{{tars[0][:-4]}..{tars[-1][:-4]}}}.tar" if len(tars) > 1 else "".join(tars)
    head = {
        "task_categories": ["image-to-image"],
        "language": ["en", "zh"],
        "pretty_name": " ".join(str(record["name"]).split()),
        "tags": ["image-editing", record["format"].rpartition("_")[2]],
    }
    lines = ["---", yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip(), "---", ""]
    lines += [f"# {head['pretty_name'].replace('#', '')}: pairs for instructed editing", ""]
    lines += [
        f"{exported['pairs']:,} pairs, written by zcurate. One target, one to four sources, their bytes inside.",
        "",
    ]
    lines += ["## Load", "", _LOAD[record["format"]].replace("{files}", files), ""]
    lines += ["## Sampling", ""]
    lines += [
        "Text-to-image samples per image-to-image sample, by training stage: "
        + ", ".join(
            f"{stage} {ratio:g}:1" for stage, ratio in sampling["text_to_image_per_image_to_image"].items()
        )
        + ".",
        "",
        f"Weights of pairs are the mean over their types of 1 / count^{sampling['task_balance']:g}, scaled to a mean of 1."
        if sampling["most"] is None
        else f"At most {sampling['most']:,} pairs were drawn by 1 / count^{sampling['task_balance']:g} of their types.",
        "Rendered text: all."
        if sampling["text_share"] is None
        else f"Rendered text: at most {100 * sampling['text_share']:g} % of the pairs.",
        "",
        "| type | pairs | share of weight |",
        "|---|---:|---:|",
    ]
    total = sum(exported["weight_by_type"].values()) or 1.0
    lines += [
        f"| {name} | {count:,} | {exported['weight_by_type'][name] / total:.1%} |"
        for name, count in sorted(exported["by_type"].items(), key=lambda c: (-c[1], c[0]))
    ]
    for name in ("split", "kind", "verdict", "license"):
        lines += ["", f"| {name} | pairs |", "|---|---:|"]
        lines += [f"| {_cell(key)} | {count:,} |" for key, count in exported[f"by_{name}"].items()]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    """Untrusted text (a license) in a table."""
    return "".join(c if c.isalnum() or c in " .,-:/()+" else " " for c in str(text))[:120]
