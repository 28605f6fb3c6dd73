"""One process and two compute the same run, and each goes on from the other's checkpoint."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from . import train_case
from .train_case import ListFeed, examples, tensors, trainer

# Its pictures and models are made once, not once per worker.
pytestmark = pytest.mark.xdist_group("train_parallel")

FOLDER = Path(train_case.__file__)


def losses(records):
    return torch.tensor([r["loss"] for r in records], dtype=torch.float64)


def far(a, b):
    """Largest difference, relative to the largest value."""
    return float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp_min(1e-12))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """20 steps of one process; a checkpoint at 10."""
    folder = tmp_path_factory.mktemp("run")
    run = trainer(folder / "alone")
    records = run.run(10)
    run.save()
    records += run.run(20)
    run.checkpoints.wait()
    return folder, records, tensors(run)


@pytest.fixture(scope="module")
def together(alone):
    """The same by two processes, from `train_case.main`."""
    folder = alone[0]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(FOLDER), str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads((folder / "facts.json").read_text())


@pytest.mark.slow
def test_two_processes_make_the_curve_of_one(alone, together):
    """Although an edit with reference and semantic tokens is often in the batch of one rank only."""
    facts = together[1]
    assert facts["world"] == 2
    one, two = losses(alone[1]), losses(facts["curve"])
    assert len(two) == 20
    assert float(((one - two).abs() / one).max()) < 1e-4
    assert [r["samples"] for r in facts["curve"]] == [4] * 20


def test_two_processes_end_with_the_weights_moments_and_averages_of_one(alone, together):
    state = load_file(together[0] / "state.safetensors")
    assert state.keys() == alone[2].keys()
    assert any(name.startswith("model/ema/") for name in state)
    assert max(far(state[n], t) for n, t in alone[2].items() if not n.endswith("exp_avg_sq")) < 5e-3


def test_two_processes_resume_to_the_bit(together):
    facts = together[1]
    assert facts["resumed"]
    assert facts["exact"]
    assert [r["loss"] for r in facts["second"]] == [r["loss"] for r in facts["curve"][10:]]


def test_one_process_goes_on_from_a_checkpoint_of_two(alone, together):
    run = trainer(together[0] / "sharded")
    assert run.resume()
    assert run.step == 10
    assert float((losses(run.run(20)) - losses(alone[1][10:])).abs().max()) < 1e-4


def test_two_processes_go_on_from_a_checkpoint_of_one(alone, together):
    assert float((losses(together[1]["widened"]) - losses(alone[1][10:])).abs().max()) < 1e-4


def test_moments_of_8_bits_are_sharded_and_joined(together):
    run = trainer(together[0] / "eight", optimizer="adamw8bit")
    assert run.resume()
    saved = load_file(together[0] / "small.safetensors")
    assert all(torch.equal(saved[name], t) for name, t in tensors(run).items())
    assert any(t.dtype == torch.int8 for t in saved.values())


def test_accumulating_gradients_is_a_larger_batch(alone):
    halves = trainer(feed=ListFeed(examples(28), batch=2), accumulate=2)
    records = halves.run(20)
    assert float((losses(records) - losses(alone[1])).abs().max()) < 1e-4
    assert max(far(tensors(halves)[n], t) for n, t in alone[2].items() if "/model/" in n) < 5e-3


def test_computing_activations_again_changes_nothing(alone):
    run = trainer(recompute=True)
    assert [r["loss"] for r in run.run(3)] == [r["loss"] for r in alone[1][:3]]


def test_one_process_resumes_to_the_bit_within_an_epoch(alone):
    folder, records, state = alone
    run = trainer(folder / "alone")
    torch.manual_seed(99)  # what the process drew before must not matter
    assert run.resume()
    assert run.feed.state_dict() == {"epoch": 1, "at": 3}
    assert [r["loss"] for r in run.run(20)] == [r["loss"] for r in records[10:]]
    now = tensors(run)
    assert now.keys() == state.keys()
    assert all(torch.equal(now[name], t) for name, t in state.items())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_blocks_make_the_same_curve(alone):
    run = trainer(compiled=True)
    assert float((losses(run.run(3)) - losses(alone[1][:3])).abs().max()) < 1e-4
