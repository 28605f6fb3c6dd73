"""A whole dataset in memory, as a global stage is given one."""

from zcurate.curation.neighbors.workspace import in_threads


class Shards:
    """A whole dataset as a global stage sees it, cut as asked."""

    def __init__(self, table, cuts=()):
        bounds = [0, *sorted(cuts), table.num_rows]
        self.parts = {
            f"{i:03d}": table.slice(a, b - a)
            for i, (a, b) in enumerate(zip(bounds[:-1], bounds[1:], strict=True))
        }

    def shards(self):
        return list(self.parts)

    def read(self, shard, columns=None):
        part = self.parts[shard]
        return part if columns is None else part.select(["sample_id", *columns])

    def earlier(self, name):
        return None

    def cache(self):
        return None

    def fan_out(self, function, arguments):
        return in_threads(function, arguments)
