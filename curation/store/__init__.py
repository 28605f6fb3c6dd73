"""The dataset store: shard-aligned column groups whose state is the files themselves."""

from .dataset import Dataset
from .lineage import SAMPLES, BoundStage, Limit, bind
from .samples import AppendSummary, SourceInfo, append, read_sources, register_source
from .selection import Selection, read_selection
from .storage import Storage

__all__ = [
    "SAMPLES",
    "AppendSummary",
    "BoundStage",
    "Dataset",
    "Limit",
    "Selection",
    "SourceInfo",
    "Storage",
    "append",
    "bind",
    "read_selection",
    "read_sources",
    "register_source",
]
