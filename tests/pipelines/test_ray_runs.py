"""Real Ray: hangs, crashes, kills, signals, two nodes, an object store, and a hostile working directory."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from .conftest import group_bytes, words_dataset, words_recipe

pytestmark = [pytest.mark.ray, pytest.mark.timeout(420), pytest.mark.xdist_group("ray")]

WORDS = [f"word {i}" for i in range(45)]
ZCURATE = str(Path(sys.executable).parent / "zcurate")


class Build:
    """`zcurate build` as a user runs it: a process of its own, with the test stages on its path."""

    def __init__(self, folder, modules, env=None, **settings):
        self.folder = folder
        self.recipe = folder / "recipe.yaml"
        self.recipe.write_text(yaml.safe_dump(words_recipe(folder / "ds", **settings), sort_keys=False))
        self.env = {**os.environ, "PYTHONPATH": str(modules), "RAY_ADDRESS": "local", **(env or {})}

    def start(self, *arguments, cwd=None):
        command = [ZCURATE, "build", str(self.recipe), "--json", *arguments]
        return subprocess.Popen(
            command,
            env=self.env,
            cwd=cwd or self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments, cwd=None):
        """(exit code, run record). Whatever else a process printed is shown when the test fails."""
        process = self.start(*arguments, cwd=cwd)
        out, err = process.communicate(timeout=300)
        print(err[-4000:])
        return process.returncode, json.loads(out) if out else None


def reference(tmp_path_factory, modules, words):
    """What an uninterrupted inline build of the same words writes."""
    folder = tmp_path_factory.mktemp("reference")
    words_dataset(folder / "ds", words)
    code, _ = Build(folder, modules).run("--engine", "inline")
    assert code == 0
    return group_bytes(folder / "ds")


def shards(root):
    """Committed shards of all groups."""
    return sum(1 for p in root.rglob("0*.parquet") if not p.name.startswith("."))


def still_running(process):
    """Look again in a tenth of a second; False once the process has ended."""
    try:
        process.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return True
    return False


def words_workers():
    """Our Ray worker processes (not those of other tests running beside)."""
    me = psutil.Process()
    return [p for p in me.children(recursive=True) if "ray::_RayWorker" in " ".join(_cmdline(p))]


def _cmdline(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_ray_and_inline_write_the_same_bytes(tmp_path, tmp_path_factory, stage_modules):
    words_dataset(tmp_path / "ds", WORDS)
    code, record = Build(tmp_path, stage_modules).run()
    assert (code, record["state"]) == (0, "done")
    assert group_bytes(tmp_path / "ds") == reference(tmp_path_factory, stage_modules, WORDS)


def test_hangs_and_crashes_cost_their_own_row_only(tmp_path, stage_modules):
    words = list(WORDS)
    words[3], words[14], words[27], words[38] = "hang", "crash", "error", "crash-once"
    words_dataset(tmp_path / "ds", words)
    code, record = Build(tmp_path, stage_modules, deadline_s=2, log=str(tmp_path / "log")).run()
    assert code == 3
    bad = {tuple(q[1:4]) for q in record["quarantined"]}
    assert bad == {("00000000", 3, "RowTimeout"), ("00000001", 4, "WorkerCrash")}
    assert record["stages"]["zcteststages.words"]["rows_error"] == 3
    assert record["stages"]["zcteststages.words"]["rows_ok"] == 42
    errors = subprocess.run(
        [ZCURATE, "errors", str(tmp_path / "ds"), "--json"],
        env={**os.environ, "PYTHONPATH": str(stage_modules)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [json.loads(line) for line in errors.stdout.splitlines()]
    assert {r["error_class"] for r in rows} == {"RowTimeout", "WorkerCrash", "ValueError"}
    code, record = Build(tmp_path, stage_modules, deadline_s=2, log=str(tmp_path / "log")).run()
    assert code == 3
    assert record["stages"]["zcteststages.words"]["rows_computed"] == 0, (
        "quarantined rows stay so until retried"
    )


def test_memory_hogs_are_stopped_and_not_held_against_the_row(tmp_path, stage_modules):
    words = list(WORDS[:20])
    words[13] = "hog"
    words_dataset(tmp_path / "ds", words)
    code, record = Build(tmp_path, stage_modules, memory_mb=500).run()
    assert code == 1
    assert record["quarantined"] == []
    assert "out of memory" in record["failed"][0]
    assert "row(s) 3-3" in record["failed"][0]


@pytest.mark.slow
def test_kill_9_of_driver_and_workers_at_random_moments(tmp_path, tmp_path_factory, stage_modules):
    words = [f"word {i}" for i in range(300)]
    expected = reference(tmp_path_factory, stage_modules, words)
    words_dataset(tmp_path / "ds", words)
    build = Build(tmp_path, stage_modules, row_ms=15)
    dice = random.Random(4)
    for kill in range(4):
        process = build.start()
        target = shards(tmp_path / "ds") + dice.randint(1, 8)
        workers_to_kill = (
            kill % 2
        )  # a storm of kills could hit one row twice, which is then rightly suspected
        while shards(tmp_path / "ds") < target and still_running(process):
            if workers_to_kill and dice.random() < 0.1:
                for worker in words_workers()[:1]:
                    worker.send_signal(signal.SIGKILL)
                    workers_to_kill -= 1
        kill_family(process)
    code, record = build.run()
    assert (code, record["quarantined"]) == (0, [])
    assert group_bytes(tmp_path / "ds") == expected


def kill_family(process):
    """kill -9 of the driver and of every process it started, Ray's own included."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait()


def test_kill_9_of_workers_while_running(tmp_path, tmp_path_factory, stage_modules):
    words = [f"word {i}" for i in range(120)]
    words_dataset(tmp_path / "ds", words)
    process = Build(tmp_path, stage_modules, row_ms=20).start()
    killed = 0
    while killed < 3 and still_running(process):
        for worker in words_workers()[:1]:
            worker.send_signal(signal.SIGKILL)
            worker.wait(10)
            killed += 1
    out, err = process.communicate(timeout=200)
    print(err[-3000:])
    assert killed
    assert process.returncode == 0
    assert json.loads(out)["quarantined"] == []
    assert group_bytes(tmp_path / "ds") == reference(tmp_path_factory, stage_modules, words)


def test_sigterm_drains_and_the_next_run_goes_on(tmp_path, tmp_path_factory, stage_modules):
    words = [f"word {i}" for i in range(200)]
    words_dataset(tmp_path / "ds", words)
    build = Build(tmp_path, stage_modules, row_ms=20)
    process = build.start()
    while shards(tmp_path / "ds") < 22 and still_running(process):  # 20 sample shards and 2 more
        pass
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=100)
    print(err[-3000:])
    record = json.loads(out)
    assert (process.returncode, record["state"]) == (1, "drained")
    done = record["stages"]["zcteststages.words"]["shards_done"]
    assert 2 <= done < 20
    code, record = build.run()
    assert code == 0
    assert record["stages"]["zcteststages.words"]["shards_run"] == 20 - done
    assert group_bytes(tmp_path / "ds") == reference(tmp_path_factory, stage_modules, words)


def test_from_a_directory_with_a_hostile_model_py(tmp_path, stage_modules):
    hostile = tmp_path / "home"
    for name in ("graph", "curation", "captioner", "pipelines"):
        (hostile / name).mkdir(parents=True)
        (hostile / name / "__init__.py").write_text("raise SystemExit('the wrong module was imported')")
    (hostile / "model.py").write_text("raise SystemExit('the wrong module was imported')")
    words_dataset(tmp_path / "ds", WORDS[:15])
    code, record = Build(tmp_path, stage_modules).run(cwd=hostile)
    assert (code, record["state"]) == (0, "done")


@pytest.mark.slow
def test_two_nodes_with_watchers_on_each(tmp_path, tmp_path_factory, stage_modules):
    """A cluster of two nodes on this machine: row clocks of the other node are read through its watcher."""
    from ray.cluster_utils import Cluster

    environment = {"PYTHONPATH": str(stage_modules)}
    saved = {k: os.environ.get(k) for k in environment}
    os.environ.update(environment)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        words = [w if i not in (5, 33) else "hang" for i, w in enumerate(WORDS)]
        words_dataset(tmp_path / "ds", words)
        build = Build(tmp_path, stage_modules, {"RAY_ADDRESS": cluster.address}, deadline_s=3)
        code, record = build.run()
        assert code == 3
        assert {tuple(q[1:4]) for q in record["quarantined"]} == {
            ("00000000", 5, "RowTimeout"),
            ("00000003", 3, "RowTimeout"),
        }
        assert record["stages"]["zcteststages.words"]["rows_ok"] == 43
    finally:
        cluster.shutdown()
        for k, v in saved.items():
            os.environ.pop(k) if v is None else os.environ.__setitem__(k, v)


@pytest.fixture
def s3(monkeypatch):
    """A real HTTP server that speaks S3."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for k, v in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(k, v)
    import boto3

    boto3.client("s3").create_bucket(Bucket="data")
    yield "s3://data"
    server.stop()


@pytest.mark.slow
def test_a_dataset_on_an_object_store(s3, tmp_path, tmp_path_factory, stage_modules):
    url = f"{s3}/ds"
    d = words_dataset(url, WORDS)
    assert not d.storage.create("samples/00000000.parquet", b"x"), "exclusive create holds on S3 too"
    build = Build(tmp_path, stage_modules)
    build.recipe.write_text(yaml.safe_dump(words_recipe(url), sort_keys=False))
    code, record = build.run()
    assert (code, record["state"]) == (0, "done")
    mine = {
        p: d.storage.get(p)
        for p in d.storage.walk("")
        if p.endswith(".parquet") and not p.startswith("_index")
    }
    assert mine == reference(tmp_path_factory, stage_modules, WORDS)
    code, record = build.run()
    assert record["stages"]["zcteststages.after"]["shards_run"] == 0
