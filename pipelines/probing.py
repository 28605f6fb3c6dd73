"""Pictures of concepts drawn and judged, round by round: the stages `draw` and `judge` on a growing manifest."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zcurate.curation.errors import ConfigError, ZcurateError
from zcurate.curation.store.digest import json_digest

from .generating import folder_of
from .judging import JUDGE, Judged, judged_rows, run_stages
from .probe_pictures import Probes
from .registry import resolve
from .stages.draw import PAID, drawn_by, spent_usd
from .view import open_view

if TYPE_CHECKING:
    from .diagnosing import Options

DRAW = "draw"
SETTINGS = "probes.json"
#: Sums of prices are a little off.
_ROUNDING_USD = 1e-6
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
    """A folder holds pictures of one generator, size, seed and list of user prompts; which, is noted beside them.

    Raises:
        ConfigError: it holds others; the message says what differs.
    """
    now = {
        "generator": drawn_by(o.generator), "size": o.size, "seed": o.seed,
        "prompts": json_digest(list(o.asked)) if o.asked else None,
    }  # fmt: skip
    path = o.out / SETTINGS
    if not any((o.out / "pictures").glob("*/*.png")):  # nothing is there that could be another's
        o.out.mkdir(parents=True, exist_ok=True)
        part = o.out / f".{SETTINGS}.part"
        part.write_text(json.dumps(now, indent=1), encoding="utf-8")
        os.replace(part, path)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise ConfigError(
            f"{path}: nothing says what drew the pictures in {o.out} ({e}); use another --out"
        ) from e
    differ = [f"{k} {before.get(k)!r}, not {v!r}" for k, v in now.items() if before.get(k) != v]
    if differ:
        raise ConfigError(
            f"{o.out} holds pictures of {'; '.join(differ)}: give another --out, and --against {o.out} to compare"
        )


@dataclass(frozen=True)
class Purse:
    """What a run may still spend.

    Attributes:
        probes: what was asked for. price: USD of a picture; 0 of a generator that is not paid.
        most: USD of this run. before: USD that this process had spent when the run began.
    """

    probes: Probes
    price: float = 0.0
    most: float = math.inf
    before: float = 0.0

    @classmethod
    def of(cls, o: Options, probes: Probes, concepts: int, say: Callable[[str], None]) -> Purse:
        """Says what it may cost. Raises ConfigError: no `max_spend`, or not enough for what was asked for before."""
        if not is_paid(o.generator):
            return cls(probes)
        price, pending = price_usd(), probes.pending()
        most = min(o.budget or concepts * o.plan.most, concepts * o.plan.most)
        quote = f"{_cents(price * concepts * o.plan.least)} to {_cents(price * most)} USD"
        if o.max_spend is None:
            raise ConfigError(
                f"pictures of {o.generator} cost money, here {quote} (list price): allow it with --max-spend"
            )
        # says what is wrong with the key before anything is asked for
        resolve("generator", o.generator).close()
        if price * pending > o.max_spend + _ROUNDING_USD:
            raise ConfigError(
                f"{pending} pictures were asked for before a stop and are still to be bought, for "
                f"{_cents(price * pending)} USD (list price): allow that with --max-spend"
            )
        say(f"pictures will cost {quote} (list price); at most {o.max_spend:g} USD are spent")
        return cls(probes, price, o.max_spend, spent_usd())

    def left_usd(self) -> float:
        """Not yet spent, by list prices of all that was asked for, lost answers included."""
        return max(0.0, self.most - (spent_usd() - self.before)) + _ROUNDING_USD

    def pictures(self) -> float:
        """That may be asked for besides those that are still to come; infinitely many where they cost nothing."""
        return math.floor(self.left_usd() / self.price) - self.probes.pending() if self.price else math.inf


def _cents(usd: float) -> str:
    """Rounded up."""
    return f"{math.ceil(usd * 100 - 1e-6) / 100:.2f}"


def probed(o: Options, purse: Purse, redo_errors: bool) -> list[Judged]:
    """What was asked for, drawn and judged, as far as that has not been done. Raises ZcurateError: nothing comes."""
    folder = folder_of(o.generator) if o.generator.startswith("s3dit:") else None
    # workers may have another working directory
    model = f"s3dit:{folder.resolve()}" if folder else o.generator
    draw: dict[str, Any] = {"model": model, "size": o.size, "batch": o.batch}
    dataset = o.out / "dataset"
    source = {"name": "pictures", "root": str(o.out / "pictures"), "kind": "manifest", "origin": "model"}
    if _lost(o, dataset):
        shutil.rmtree(dataset / DRAW)  # what lies there still is found, and not drawn again
    if is_paid(o.generator):
        # One process buys, so that one cap holds for all.
        capped = draw | {"max_spend": purse.left_usd()}
        run_stages(dataset, source, {DRAW: capped}, "inline", None, ROWS_PER_SHARD, redo_errors)
        redo_errors = False
    stages = {DRAW: draw, JUDGE: dict(o.judge)}
    run_stages(dataset, source, stages, o.engine, o.address, ROWS_PER_SHARD, redo_errors)
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
