"""The files of the cluster page: their syntax, and the Slurm script for real with two Ray nodes on this machine."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import psutil
import pytest
import yaml

from zcurate.pipelines.cli.app import app
from zcurate.pipelines.recipe import BUNDLED, build_recipe, load_recipe

from .conftest import group_bytes, words_dataset, words_recipe

CLUSTER = BUNDLED / "cluster"
BIN = Path(sys.executable).parent

# Records where each row was worked on, and is slow enough that the second node joins in time.
WHERE = """
import time
import pyarrow as pa
import ray
from pydantic import BaseModel
from zcurate.curation.stage import StageSpec, map_rows

class Config(BaseModel):
    row_ms: float

class Where:
    def __init__(self, row_ms):
        self.row_ms = row_ms
        self.spec = StageSpec("where", 1, ("samples.text",), {"where": pa.schema([("node", pa.string())])})

    def setup_node(self):
        pass

    def setup(self):
        pass

    def __call__(self, table, monitor):
        def one(row):
            time.sleep(self.row_ms / 1000)
            return {"node": ray.get_runtime_context().get_node_id()}

        return map_rows(table, one, self.spec.schema, monitor)

def build(config, context):
    return Where(config.row_ms)
"""

#: Stand-ins for Slurm's commands: two "nodes", both on this machine.
STAND_INS = {
    "srun": 'while [[ $1 == --* ]]; do shift; done\nexec "$@"\n',
    "scontrol": "hostname\necho second-node\n",
}


@pytest.fixture
def slurm_job(tmp_path, stage_modules):
    """A function that starts slurm.sh inside a pretended job of two nodes with a CPU each."""
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    for name, script in STAND_INS.items():
        (stand_ins / name).write_text(f"#!/usr/bin/env bash\n{script}")
        (stand_ins / name).chmod(0o755)
    modules = tmp_path / "modules"
    shutil.copytree(stage_modules, modules)
    (modules / "zcteststages" / "where.py").write_text(textwrap.dedent(WHERE))
    ray_folder = tempfile.mkdtemp(prefix="zc")  # short: Unix sockets lie in it
    job = 10_000 + os.getpid() % 10_000  # decides the port
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "SLURM_"))} | {
        "PATH": f"{stand_ins}:{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(modules),
        "SLURM_JOB_ID": str(job),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_CPUS_PER_TASK": "1",
        "RAY_TMPDIR": ray_folder,
    }
    started = []

    def start(*arguments):
        command = ["bash", str(CLUSTER / "slurm.sh"), *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, env=environment, cwd=tmp_path, text=True, stdout=pipe, stderr=pipe
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            for member in [*psutil.Process(process.pid).children(recursive=True), process]:
                member.kill()
    left = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    shutil.rmtree(ray_folder)
    assert not [c[:200] for c in left if ray_folder in c], "Ray processes outlive the job"


def finish(process):
    """(exit code, run record of --json). The end of the log is shown when the test fails."""
    out, err = process.communicate(timeout=200)
    print(err[-3000:])
    records = [line for line in out.splitlines() if line.startswith('{"run_id"')]
    return process.returncode, json.loads(records[-1]) if records else None


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.xdist_group("ray")
@pytest.mark.timeout(420)
def test_slurm_script_uses_both_nodes_and_passes_the_exit_code(tmp_path, slurm_job):
    words = [f"word {i}" for i in range(200)]
    words[13] = "error"
    dataset = words_dataset(tmp_path / "ds", words)
    recipe = words_recipe(tmp_path / "ds")
    recipe["stages"] = {"zcteststages.where": {"row_ms": 100.0}, **recipe["stages"]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    code, record = finish(slurm_job("recipe.yaml", "--json"))
    assert (code, record["state"]) == (3, "done")
    shards = dataset.samples().metas
    nodes = {
        n for s in shards for n in dataset.read(record["folders"]["where"], s, ["node"]).column(0).to_pylist()
    }
    assert len(nodes) == 2
    code, record = finish(slurm_job("recipe.yaml", "--json", "--max-quarantined", "1%"))
    assert (code, record["stages"]["zcteststages.where"]["shards_run"]) == (0, 0)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.xdist_group("ray")
@pytest.mark.timeout(420)
def test_slurm_time_limit_drains_and_the_same_command_goes_on(tmp_path, slurm_job):
    words = [f"word {i}" for i in range(200)]
    words_dataset(tmp_path / "ds", words)
    (tmp_path / "recipe.yaml").write_text(
        yaml.safe_dump(words_recipe(tmp_path / "ds", row_ms=20.0), sort_keys=False)
    )
    process = slurm_job("recipe.yaml", "--json")
    while not list((tmp_path / "ds").glob("words/*/0*.parquet")):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
    process.send_signal(signal.SIGTERM)  # as Slurm does with --signal=B:TERM@600, to this shell only
    code, record = finish(process)
    assert (code, record["state"]) == (1, "drained")
    done = record["stages"]["zcteststages.words"]["shards_done"]
    assert 0 < done < 20
    code, record = finish(slurm_job("recipe.yaml", "--json"))
    assert (code, record["stages"]["zcteststages.words"]["shards_run"]) == (0, 20 - done)
    assert any("after" in path for path in group_bytes(tmp_path / "ds"))


@pytest.mark.parametrize(("missing", "says"), [("SLURM_JOB_NODELIST", "sbatch"), ("arguments", "usage")])
def test_slurm_script_says_what_is_missing(missing, says):
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}"}
    if missing == "arguments":
        environment["SLURM_JOB_NODELIST"] = "n1"
    arguments = [] if missing == "arguments" else ["photos"]
    command = ["bash", str(CLUSTER / "slurm.sh"), *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 2
    assert says in ran.stderr


def test_kubernetes_manifest_and_its_recipe_hold_together():
    job = yaml.safe_load((CLUSTER / "rayjob.yaml").read_text())
    words = job["spec"]["entrypoint"].split()
    assert words[:3] == ["zcurate", "build", "photos"]
    recipe = load_recipe(
        words[2], [w for before, w in zip(words, words[1:], strict=False) if before == "--set"]
    )
    assert recipe.export == [], "exports go to local disk, which a pod loses"
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [c for g in groups for c in g["template"]["spec"]["containers"]]
    assert len({c["image"] for c in containers}) == 1


def test_submit_shows_help_and_wants_a_recipe():
    script = str(CLUSTER / "submit.py")
    shown = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True)
    assert (shown.returncode, "zcurate build" in shown.stdout) == (0, True)
    wanting = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert wanting.returncode == 2
    assert "give a recipe" in wanting.stderr


def test_the_page_names_files_commands_and_recipe_fields_that_exist():
    page = (CLUSTER / "README.md").read_text()
    for name in re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE):
        if "." in name:
            assert (CLUSTER / name).exists(), name
    commands = {c.name or c.callback.__name__ for c in app.registered_commands}
    assert set(re.findall(r"`zcurate (\w+)", page)) <= commands
    example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL).group(1))
    build_recipe({"name": "page", "stages": {"profile": {}}, **example}, "README.md")
