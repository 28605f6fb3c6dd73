"""What is committed in one group: a listing, and the footers behind it.

Reading a footer means reading and checking the whole shard once; `_index/` remembers it by
size and tag of the object. The cache can be deleted at any time.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import ShardInvalidError
from .shard import ShardMeta, read_meta
from .storage import ObjectInfo, Storage

SUFFIX = ".parquet"


class GroupIndex:
    """Shards of one group folder.

    Attributes:
        metas: shard name -> footer, for every valid shard.
        invalid: shard name -> reason, for files that count as absent.
    """

    def __init__(self, storage: Storage, path: str):
        self.storage = storage
        self.path = path
        self.metas: dict[str, ShardMeta] = {}
        self.invalid: dict[str, str] = {}
        self._infos: dict[str, ObjectInfo] = {}
        self._changed = False

    @property
    def cache_path(self) -> str:
        return f"_index/{self.path.replace('/', '__')}{SUFFIX}"

    def shard_path(self, shard: str) -> str:
        return f"{self.path}/{shard}{SUFFIX}"

    def refresh(self, use_cache: bool = True) -> GroupIndex:
        """List the folder and read the footers that the cache does not know."""
        known = self._read_cache() if use_cache else {}
        self.metas, self.invalid, self._infos = {}, {}, {}
        unknown = []
        for info in self.storage.list(self.path):
            if not info.name.endswith(SUFFIX):
                continue
            shard = info.name.removesuffix(SUFFIX)
            self._infos[shard] = info
            size, tag, meta = known.get(shard, (None, None, None))
            if (size, tag) == (info.size_bytes, info.tag):
                self.metas[shard] = meta
            else:
                unknown.append(shard)
        self._changed = bool(unknown) or set(known) != set(self.metas)
        with ThreadPoolExecutor(8) as pool:
            for shard, result in zip(unknown, pool.map(self._load, unknown), strict=True):
                if isinstance(result, ShardMeta):
                    self.metas[shard] = result
                else:
                    self.invalid[shard] = result
        return self

    def _load(self, shard: str) -> ShardMeta | str:
        path = self.shard_path(shard)
        try:
            return read_meta(self.storage.get(path), path)
        except (ShardInvalidError, FileNotFoundError) as e:
            return str(e)

    def add(self, shard: str, info: ObjectInfo, meta: ShardMeta) -> None:
        """Note a shard that was just committed."""
        self.metas[shard] = meta
        self._infos[shard] = info
        self.invalid.pop(shard, None)
        self._changed = True

    def drop(self, shard: str, reason: str) -> None:
        """A reader found this shard damaged: it counts as absent from now on."""
        self.metas.pop(shard, None)
        self.invalid[shard] = reason
        self._changed = True

    def save(self) -> None:
        """Write the cache, if it would change."""
        if not self._changed:
            return
        shards = sorted(self.metas)
        table = pa.table(
            {
                "shard": pa.array(shards, pa.string()),
                "size_bytes": pa.array([self._infos[s].size_bytes for s in shards], pa.int64()),
                "tag": pa.array([self._infos[s].tag for s in shards], pa.string()),
                "meta": pa.array([self.metas[s].to_json() for s in shards], pa.string()),
            }
        )
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        self.storage.put(self.cache_path, sink.getvalue())
        self._changed = False

    def _read_cache(self) -> dict[str, tuple[int, str, ShardMeta]]:
        try:
            file = pq.ParquetFile(pa.BufferReader(self.storage.get(self.cache_path)), pre_buffer=False)
            table = file.read(use_threads=False)
            return {
                r["shard"]: (r["size_bytes"], r["tag"], ShardMeta.from_json(r["meta"]))
                for r in table.to_pylist()
            }
        except FileNotFoundError:
            return {}
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
            return {}  # a damaged cache is no cache
