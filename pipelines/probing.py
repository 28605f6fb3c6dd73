"""Pictures of concepts drawn and judged, round by round: the stages `draw` and `judge` on a growing manifest."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zcurate.curation.errors import ConfigError, ZcurateError
from zcurate.curation.store.digest import json_digest

from .generating import folder_of
from .judging import JUDGE, Judged, judged_rows, run_stages
from .probe_pictures import Probes
from .registry import resolve
from .stages.draw import PAID, drawn_by
from .view import open_view

if TYPE_CHECKING:
    from .diagnosing import Options

DRAW = "draw"
SETTINGS = "probes.json"
#: Pictures that one worker draws between two points at which another may take over.
ROWS_PER_SHARD = 32


def is_paid(generator: str) -> bool:
    """Do its pictures cost money?"""
    return generator.partition(":")[0] == PAID


def price_usd() -> float:
    """USD of one picture of the paid generator, list price. Raises ConfigError: a region without one."""
    from zcurate.model.api.dashscope import PRICES_USD
    from zcurate.model.api.generator import DEFAULT_REGION, REGION_VARIABLE

    region = os.environ.get(REGION_VARIABLE) or DEFAULT_REGION
    if region not in PRICES_USD:
        raise ConfigError(f"{REGION_VARIABLE}={region!r}: write one of {', '.join(sorted(PRICES_USD))}")
    return PRICES_USD[region][0]


def check_same(o: Options) -> None:
    """A folder holds pictures of one generator, size, seed and list of user prompts; which, is noted on first use.

    Raises:
        ConfigError: it holds others; the message says what differs.
    """
    now = {
        "generator": drawn_by(o.generator), "size": o.size, "seed": o.seed,
        "prompts": json_digest(list(o.asked)) if o.asked else None,
    }  # fmt: skip
    path = o.out / SETTINGS
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        o.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(now, indent=1), encoding="utf-8")
        return
    except (OSError, ValueError) as e:
        raise ConfigError(f"{path}: cannot be read ({e}); use another --out") from e
    differ = [f"{k} {before.get(k)!r}, not {v!r}" for k, v in now.items() if before.get(k) != v]
    if differ:
        raise ConfigError(
            f"{o.out} holds pictures of {'; '.join(differ)}: give another --out, and --against {o.out} to compare"
        )


def affordable(o: Options, probes: Probes, concepts: int, say: Callable[[str], None]) -> float:
    """Pictures that may be asked for in this run: of a paid generator, for the money. Raises ConfigError."""
    if not is_paid(o.generator):
        return math.inf
    price, pending = price_usd(), probes.pending()
    most = min(o.budget or concepts * o.plan.most, concepts * o.plan.most)
    quote = f"{price * concepts * o.plan.least:.2f} to {price * most:.2f} USD"
    if o.max_spend is None:
        raise ConfigError(
            f"pictures of {o.generator} cost money, here {quote} (list price): allow it with --max-spend"
        )
    resolve("generator", o.generator).close()  # says what is wrong with the key before anything is asked for
    if price * pending > o.max_spend:
        raise ConfigError(
            f"{pending} pictures were asked for before a stop and are still to be bought, for {price * pending:.2f} "
            f"USD (list price): allow that with --max-spend"
        )
    say(f"pictures will cost {quote} (list price); at most {o.max_spend:g} USD are spent")
    return math.floor(o.max_spend / price) - pending


def probed(o: Options, probes: Probes) -> list[Judged]:
    """What was asked for, drawn and judged, as far as that has not been done. Raises ZcurateError: nothing comes."""
    folder = folder_of(o.generator) if o.generator.startswith("s3dit:") else None
    model = (
        f"s3dit:{folder.resolve()}" if folder else o.generator
    )  # workers may have another working directory
    draw: dict[str, Any] = {"model": model, "size": o.size, "batch": o.batch}
    dataset = o.out / "dataset"
    source = {"name": "pictures", "root": str(o.out / "pictures"), "kind": "manifest", "origin": "model"}
    if _lost(o, dataset):
        shutil.rmtree(dataset / DRAW)  # what lies there still is found, and not drawn again
    if is_paid(o.generator):
        # One process buys, so that one cap holds for all; half a picture more, for what is lost in rounding.
        capped = draw | {"max_spend": price_usd() * (probes.pending() + 0.5)}
        run_stages(dataset, source, {DRAW: capped}, "inline", None, ROWS_PER_SHARD)
    run_stages(dataset, source, {DRAW: draw, JUDGE: dict(o.judge)}, o.engine, o.address, ROWS_PER_SHARD)
    error = _error_of_all(dataset)
    if error:
        raise ZcurateError(f"{o.generator} drew nothing: {error}")
    return list(judged_rows(dataset))


def _lost(o: Options, dataset: Path) -> bool:
    """Is a picture gone that was drawn?"""
    if not (dataset / DRAW).is_dir():
        return False
    view = open_view(str(dataset))
    return any(
        row["live"] and row[f"{DRAW}._status"] == "ok" and not (o.out / "pictures" / row["samples.uri"]).exists()
        for _, table in view.tables(["samples.uri", f"{DRAW}._status"])
        for row in table.to_pylist()
    )  # fmt: skip


def _error_of_all(dataset: Path) -> str:
    """The first error, where no picture could be drawn; else ""."""
    first = ""
    view = open_view(str(dataset))
    for _, table in view.tables([f"{DRAW}._status", f"{DRAW}._error_message"]):
        for row in table.to_pylist():
            if row["live"] and row[f"{DRAW}._status"] == "ok":
                return ""
            first = first or (row["live"] and row[f"{DRAW}._error_message"]) or ""
    return first
