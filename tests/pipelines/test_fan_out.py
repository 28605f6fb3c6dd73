"""Tasks of a global stage over a cluster: the same results wherever they run, and whatever dies."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from zcurate.pipelines.execution.fan_out import fan_out


def summed(array, extra, place):
    """(sum of a slice of a mapped file and an array, process)."""
    return float(array[place : place + 1_000].sum() + extra[place]), os.getpid()


def slow(array, place):
    """Takes long enough that several processes get their share."""
    total = 0.0
    for _ in range(400):
        total += float(np.sin(array[:50_000]).sum())
    return total, os.getpid()


def dies_once(marker, place):
    """Kills the process that runs it, the first time and where it is not the caller."""
    if place == 9 and not os.path.exists(marker) and str(os.getpid()) != os.environ.get("CALLER"):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return place


def waits_elsewhere(folder, place):
    """Done at once by the caller, as soon as another process has begun a task that waits to be told to go on."""
    begun, go_on, ended = (Path(folder) / name for name in ("begun", "go_on", "ended"))
    if str(os.getpid()) == os.environ.get("CALLER"):
        wait_for(begun)
    else:
        begun.touch()
        wait_for(go_on)
        ended.touch()
    return place


def wait_for(path):
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f"no {path.name}"


def fails(place):
    if place == 7:
        raise ValueError("row 7 holds NaN")
    return place


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one CPU each on this machine, and a process of a stage on one of them."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False)
    yield ray
    ray.shutdown()
    cluster.shutdown()


def in_a_stage(ray, function, arguments):
    """`fan_out` as a worker's process calls it, which holds one of the CPUs itself."""

    def call():
        os.environ["CALLER"] = str(os.getpid())
        return list(fan_out(function, arguments)), os.getpid()

    return ray.get(ray.remote(call).options(num_cpus=1).remote(), timeout=120)


def test_mapped_files_are_opened_where_the_work_is(cluster, tmp_path):
    array = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(20_000,))
    array[:] = np.arange(20_000)
    array.flush()
    extra = np.arange(20_000.0)
    expected = [summed(array, extra, i)[0] for i in range(50)]
    found, _ = in_a_stage(
        cluster, partial(summed, np.load(tmp_path / "x.npy", mmap_mode="r"), extra), range(50)
    )
    assert [value for value, _ in found] == expected


def test_work_is_shared(cluster):
    found, caller = in_a_stage(cluster, partial(slow, np.arange(50_000.0)), range(24))
    assert len({value for value, _ in found}) == 1
    assert len({pid for _, pid in found}) > 1
    assert caller in {pid for _, pid in found}


def test_a_killed_process_costs_nothing(cluster, tmp_path):
    found, _ = in_a_stage(cluster, partial(dies_once, str(tmp_path / "died")), range(10))
    assert found == list(range(10))


def test_a_task_done_by_the_caller_is_not_interrupted_elsewhere(cluster, tmp_path):
    """An interrupt could fall into an import, and leave that process unfit for every later task."""
    found, _ = in_a_stage(cluster, partial(waits_elsewhere, str(tmp_path)), range(6))
    assert found == list(range(6))
    (tmp_path / "go_on").touch()
    wait_for(tmp_path / "ended")


def test_an_error_reaches_the_caller_as_it_is(cluster):
    with pytest.raises(ValueError, match="row 7 holds NaN"):
        in_a_stage(cluster, fails, range(20))


def corpus(n=40_000, d=24):
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((n // 5, d))
    x = centers[rng.integers(0, len(centers), n)] + 0.15 * rng.standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


def grouped(folder, fan_out):
    import pyarrow as pa

    from zcurate.curation.neighbors.dedup import Keeping, Settings, deduplicate

    x = corpus()
    ids = pa.array([i.to_bytes(16, "big") for i in range(len(x))], pa.binary(16))
    rows = pa.table({"sample_id": ids, "content_id": ids, "pixel_hash": ids})
    result = deduplicate(
        rows,
        x,
        Settings(0.95, 0.9, phash_radius=None, cells=64),
        keeping=Keeping(folder, "x"),
        fan_out=fan_out,
    )
    return result.groups, result.neighbors, dict(result.figures)


def test_groups_are_the_same_on_one_node_and_on_two(cluster, tmp_path):
    from zcurate.curation.neighbors.workspace import in_threads

    def remote(folder):
        return grouped(folder, fan_out)

    alone = grouped(tmp_path / "alone", in_threads)
    shared = cluster.get(cluster.remote(remote).options(num_cpus=1).remote(tmp_path / "shared"), timeout=300)
    assert alone[2]["groups"] < 40_000
    assert shared[2] == alone[2]
    assert shared[0].equals(alone[0])
    assert shared[1].equals(alone[1])


def cut_into_communities(shared):
    """The stage's outcome for a corpus large enough to be searched in cells, its tasks in threads or over the cluster."""
    import pyarrow as pa

    from tests.curation.shards import Shards
    from zcurate.pipelines.context import StageContext
    from zcurate.pipelines.stages import communities

    x = corpus(21_000)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
    ids = pa.array([i.to_bytes(16, "big") for i in range(len(x))], pa.binary(16))
    data = Shards(pa.table({"sample_id": ids, communities.VECTOR: vectors}), [9_000])
    if shared:
        data.fan_out = fan_out
    result = communities.build(communities.Config(), StageContext()).run(data)
    return pa.concat_tables(t for _, t in result.aligned), result.tables["communities"], dict(result.facts)


def test_communities_are_the_same_on_one_node_and_on_two(cluster):
    def remote():
        return cut_into_communities(shared=True)

    alone = cut_into_communities(shared=False)
    shared = cluster.get(cluster.remote(remote).options(num_cpus=1).remote(), timeout=300)
    assert alone[2]["communities"][0] > 1
    assert shared[2] == alone[2]
    assert shared[0].equals(alone[0])
    assert shared[1].equals(alone[1])
