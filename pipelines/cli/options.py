"""Options that several commands share."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from zcurate.curation.errors import ConfigError
from zcurate.curation.store import Limit

Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="K=V",
        help="Set a parameter or field, e.g. `stages.dedup.threshold=0.92`. Repeatable.",
    ),
]
EngineName = Annotated[
    str, typer.Option("--engine", help="`ray` (laptop or cluster) or `inline` (this process).")
]
Address = Annotated[
    str | None, typer.Option("--address", help="Ray cluster; default: RAY_ADDRESS, else this machine.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Most workers at once.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
MaxQuarantined = Annotated[
    str,
    typer.Option("--max-quarantined", help="Share of error rows that still counts as success, e.g. `1%`."),
]


def share(text: str, option: str) -> float:
    """`1%` or `0.01` as a fraction. Raises ConfigError, which names the option."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(%?)\s*", text)
    value = float(match.group(1)) / (100 if match.group(2) else 1) if match else -1.0
    if not 0 <= value <= 1:
        raise ConfigError(f"{option} {text!r}: write a share such as 1% or 0.01")
    return value


def limit_of(rows: int | None, sample: str | None) -> Limit:
    """The trial-run limit of `--limit` and `--sample`. Raises ConfigError when both are given."""
    if rows is not None and sample is not None:
        raise ConfigError("--limit and --sample exclude each other")
    if sample is not None:
        fraction = share(sample, "--sample")
        if fraction == 0:
            raise ConfigError("--sample must be above 0")
        return Limit(fraction=fraction)
    return Limit(rows=rows)


def sample_ids(texts: list[str]) -> list[bytes]:
    """Ids from 32 hex digits each. Raises ConfigError naming the wrong one."""
    ids = []
    for text in texts:
        try:
            value = bytes.fromhex(text.strip())
        except ValueError:
            value = b""
        if len(value) != 16:
            raise ConfigError(f"{text[:60]!r} is not a sample id (32 hex digits)")
        ids.append(value)
    return ids
