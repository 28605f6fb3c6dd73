"""Stage `frames`: animated and paged pictures become a child dataset of single frames."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.errors import SampleError
from zcurate.curation.frames import frames
from zcurate.curation.stage import ExpandStage, Expansion, Resources, RowMonitor, StageSpec, iter_rows

from ..decisions import deciding

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext

_PLACE = ("source", "uri", "container", "member", "offset", "length")
#: Columns of `Expansion.samples`.
CHILD_COLUMNS = pa.schema(
    [
        ("parent_ids", pa.list_(pa.binary(16))),
        ("key", pa.string()),
        ("bytes", pa.binary()),
        ("text", pa.string()),
        ("metadata", pa.string()),
        ("origin", pa.string()),
        ("license", pa.string()),
    ]
)


class Config(BaseModel):
    """How many frames of a picture to take."""

    model_config = ConfigDict(extra="forbid")

    most: int = Field(8, ge=2, le=10_000, description="frames per picture at most, evenly spaced")


class FramesStage:
    """Expanding stage over pictures of more than one frame."""

    def __init__(self, config: Config, ctx: StageContext) -> None:
        self._most, self._ctx = config.most, ctx
        self.spec = StageSpec(
            name="frames",
            version=1,
            reads=(
                *(f"samples.{c}" for c in (*_PLACE, "text", "origin", "license")),
                *("profile.frames", "profile.content_id"),
            ),
            outputs={},
            config=config.model_dump(),
            where=deciding(ctx.groups),
            resources=Resources(row_deadline_s=120.0),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        self._blobs = self._ctx.blobs()

    def expand(self, table: pa.Table, monitor: RowMonitor) -> Expansion:
        """A picture whose frames cannot be read has no children; its own profile row tells more."""
        rows = []
        for i, row in enumerate(iter_rows(table)):
            monitor.start(i, i)
            if (row["profile.frames"] or 1) < 2:
                continue
            try:
                data = self._blobs.read(*(row[f"samples.{c}"] for c in _PLACE))
                found = list(frames(data, self._most))
            except SampleError:
                continue
            for n, png in found:
                rows.append(
                    {
                        "parent_ids": [row["sample_id"]],
                        "key": f"{row['sample_id'].hex()}-{n:05d}.png",
                        "bytes": png,
                        "text": row["samples.text"],
                        "metadata": json.dumps({"frame": n}),
                        "origin": row["samples.origin"],
                        "license": row["samples.license"],
                    }
                )
        return Expansion(pa.Table.from_pylist(rows, schema=CHILD_COLUMNS))


def build(config: Config, ctx: StageContext) -> ExpandStage:
    return FramesStage(config, ctx)
