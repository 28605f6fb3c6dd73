"""Pictures of review tasks: always decoded and encoded anew, so that a browser is given no stranger's bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from zcurate.curation.active.review.tasks import PAIR, Task
from zcurate.curation.errors import DatasetError, SampleError
from zcurate.curation.store import SAMPLES, read_sources

from .context import StageContext
from .edit_tables import PairSet, Reader
from .originals import Originals
from .view import View

_LOCATION = ("source", "uri", "container", "member", "offset", "length")
#: Short side of a picture on the page; `full` shows more.
SHORT_PX = 900
_QUALITY = 88
_KEPT_BYTES = 96 << 20
_KEPT_SHARDS = 16


class Pictures:
    """Reads pictures of tasks for many threads, and keeps the last ones.

    Args:
        view: None for a dataset of pairs alone. pairs: its tables of pairs, by stage.
    """

    def __init__(self, view: View | None, pairs: list[PairSet]):
        self._view = view
        self._pairs = {one.stage: one for one in pairs}
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, bool], bytes] = OrderedDict()
        self._size = 0
        self._readers: OrderedDict[tuple[str, str], Reader] = OrderedDict()
        self._places: dict[str, tuple[str, int]] = {}
        self._shards: OrderedDict[str, Any] = OrderedDict()
        if view is not None:
            context = StageContext(read_sources(view.dataset), storage_options=view.recipe.storage_options)
            self._originals = Originals(context.blobs)
            for shard in view.selection.shards:
                ids = view.dataset.read(SAMPLES, shard, ["sample_id"]).column(0).to_pylist()
                self._places |= {i.hex(): (shard, row) for row, i in enumerate(ids) if i is not None}

    def __call__(self, task: Task, number: int, full: bool) -> tuple[bytes, str]:
        """(JPEG, media type). Raises DatasetError or SampleError where it cannot be shown."""
        key = (task.id, number, full)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key], "image/jpeg"
        data = self._made(task, number, full)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = data
                self._size += len(data)
            while self._size > _KEPT_BYTES and len(self._kept) > 1:
                self._size -= len(self._kept.popitem(last=False)[1])
        return data, "image/jpeg"

    def _made(self, task: Task, number: int, full: bool) -> bytes:
        ref = task.pictures[number].ref
        if task.kind == PAIR:
            stage, shard, key = ref.split("/", 2)
            with self._lock:
                data = self._reader(stage, shard).read(key)
            return encoded(data, None if full else SHORT_PX)
        if self._view is None or ref not in self._places:
            raise DatasetError(f"{ref}: no such sample any more")
        shard, row = self._places[ref]
        place = self._place(shard, row)
        try:
            if full:
                return self._originals.picture(place)
            return encoded(self._originals.picture(place), SHORT_PX)
        except SampleError:
            thumb = self._view.table(shard, ["thumbs.thumb"]).column("thumbs.thumb")[row].as_py()
            if thumb is None:
                raise
            return encoded(thumb, SHORT_PX)

    def _reader(self, stage: str, shard: str) -> Reader:
        if stage not in self._pairs:
            raise DatasetError(f"{stage}: no pairs of this stage any more")
        if (stage, shard) not in self._readers:
            self._readers[stage, shard] = self._pairs[stage].reader(shard)
            while len(self._readers) > _KEPT_SHARDS:
                self._readers.popitem(last=False)
        return self._readers[stage, shard]

    def _place(self, shard: str, row: int) -> list[Any]:
        with self._lock:
            if shard not in self._shards:
                self._shards[shard] = self._view.dataset.read(SAMPLES, shard, list(_LOCATION))
                while len(self._shards) > _KEPT_SHARDS:
                    self._shards.popitem(last=False)
            table = self._shards[shard]
        return [table.column(c)[row].as_py() for c in _LOCATION]


def encoded(data: bytes, short_px: int | None) -> bytes:
    """A JPEG of an image file, at most so large. Raises ImageError."""
    import simplejpeg

    from zcurate.curation.profile.decode import decode
    from zcurate.curation.profile.shrink import shrink

    rgb = decode(data).rgb
    if short_px is not None and min(rgb.shape[:2]) > short_px:
        rgb = shrink(rgb, short_px, max_aspect=10**6)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality=_QUALITY, colorsubsampling="444")
