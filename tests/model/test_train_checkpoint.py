"""Checkpoints: whole or not there, the latest few, of this run only; guards that stop before an update."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from zcurate.model.data.examples import Example
from zcurate.model.train.errors import CheckpointError, TrainingHaltedError
from zcurate.model.train.logs import Guard, Logs, read

from . import train_case
from .train_case import ListFeed, examples, latent_of, picture, tensors, trainer

# A process that may write files of 1 MB only: a full disk to all but the smallest files.
FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, {folder!r})
import train_case
from zcurate.model.train.errors import CheckpointError
run = train_case.trainer({out!r})
run.run(1)
run.save(background=False)
run.run(2)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
run.save()
run.run(3)
try:
    run.checkpoints.wait()
except CheckpointError as error:
    print(error)
try:
    run.save(background=False)
except CheckpointError as error:
    print("again:", error)
"""


@pytest.fixture
def run(tmp_path):
    made = trainer(tmp_path / "run")
    made.run(2)
    made.save(background=False)
    return made


def names(run):
    return [path.name for path in run.checkpoints.all()]


def test_only_the_last_few_are_kept_and_nothing_else_lies_there(run):
    for until in (3, 4):
        run.run(until)
        run.save()
    run.checkpoints.wait()
    assert names(run) == ["step-00000003", "step-00000004"]
    assert sorted(p.name for p in run.checkpoints.folder.iterdir()) == names(run)
    assert {p.suffix for p in run.checkpoints.latest().iterdir()} == {".json", ".safetensors"}


def test_a_copy_is_taken_before_training_goes_on(run, tmp_path):
    run.run(3)
    before = tensors(run)
    run.save()
    run.run(5)
    run.checkpoints.wait()
    again = trainer(tmp_path / "run")
    again.resume()
    assert again.step == 3
    assert all(torch.equal(t, before[n]) for n, t in tensors(again).items())


def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path):
    code = FULL_DISK.format(folder=str(Path(train_case.__file__).parent), out=str(tmp_path / "run"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "could not be written" in done.stdout
    assert "step-00000001" in done.stdout
    assert "again:" in done.stdout
    left = trainer(tmp_path / "run")
    assert names(left) == ["step-00000001"]
    assert left.resume()
    assert left.step == 1


def test_a_write_that_was_cut_off_is_cleared_away(run, tmp_path):
    part = run.checkpoints.folder / ".step-00000009.part"
    part.mkdir()
    (part / "shard").write_bytes(b"half")
    again = trainer(tmp_path / "run")
    assert not part.exists()
    assert again.resume()


def test_a_damaged_checkpoint_is_passed_over(run, tmp_path):
    run.run(3)
    run.save(background=False)
    file = next(run.checkpoints.latest().glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:1000])
    again = trainer(tmp_path / "run")
    with pytest.warns(UserWarning, match=f"{file.name}.*older one"):
        assert again.resume()
    assert again.step == 2


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"optimizer": "adamw8bit"}, "exp_avg_scale missing"),
        ({"remember": False}, "model/ema/.* unexpected"),
        ({"semantic": False}, "siglip_pad_token unexpected"),
    ],
    ids=["optimizer", "averages", "model"],
)
def test_a_checkpoint_of_another_run_is_refused(run, tmp_path, options, fault):
    other = trainer(tmp_path / "run", **options)
    before = tensors(other)
    with pytest.raises(CheckpointError, match=fault):
        other.resume()
    assert all(torch.equal(t, before[n]) for n, t in tensors(other).items())


def test_facts_that_are_no_facts(run, tmp_path):
    (run.checkpoints.latest() / "checkpoint.json").write_text("[]")
    with pytest.warns(UserWarning, match=r"checkpoint\.json"):
        assert not trainer(tmp_path / "run").resume()


def test_a_spoiled_sample_stops_the_run_before_it_does_harm():
    data = examples(8, edits=False)
    spoiled = torch.full_like(latent_of(data[5].pixels), float("nan"))
    data[5] = Example("spoiled", "a thing", None, latents=spoiled)
    run = trainer(feed=ListFeed(data))
    before = None

    def go() -> None:
        nonlocal before
        while run.step < 2:
            before = tensors(run)
            run.run(run.step + 1)

    with pytest.raises(TrainingHaltedError, match="not finite") as error:
        go()
    assert error.value.ids == ("spoiled",)
    assert all(torch.equal(t, before[n]) for n, t in tensors(run).items())


def test_a_jump_of_the_loss_stops_the_run(tmp_path):
    feed = ListFeed(examples(8, edits=False), batch=4)
    logs = Logs(tmp_path)
    run = trainer(feed=feed, spike_factor=3.0, logs=logs)
    run.run(17)
    loud = Example("loud", "a thing", None, latents=torch.full_like(latent_of(feed.data[0].pixels), 50.0))
    run.feed = ListFeed([loud, *examples(3, edits=False)])
    run._stream = None
    with pytest.raises(TrainingHaltedError, match=r"times the recent median.*loud") as error:
        run.run(18)
    assert error.value.ids[0] == "loud"
    assert run.step == 17
    records = read(tmp_path)
    assert [r["step"] for r in records[:17]] == list(range(1, 18))
    assert records[-1]["event"] == "halted"


def test_ordinary_losses_pass_the_guard():
    guard = Guard(factor=5.0)
    rng = np.random.default_rng(0)
    for step in range(200):
        guard.check(step, "model", float(rng.lognormal(0, 0.3)), 1.0, [])


def test_the_log_says_what_a_step_cost(tmp_path):
    run = trainer(logs=Logs(tmp_path))
    run.run(2)
    record = read(tmp_path)[-1]
    assert record["step"] == 2
    assert record["samples"] == 4
    assert 0 < record["data_wait_share"] < 1
    assert 0 <= record["pad_share"] < 1
    assert record["samples_per_s"] == pytest.approx(4 / record["seconds"])
    deciles = [x for x in record["loss_by_decile"] if x is not None]
    assert len(record["loss_by_decile"]) == 10
    assert min(deciles) <= record["loss"] <= max(deciles)
    (tmp_path / "log.jsonl").open("a").write('{"step": 3, "lo')
    assert len(read(tmp_path)) == 2


def test_numbers_that_are_not_finite_are_null_in_the_log(tmp_path):
    logs = Logs(tmp_path)
    logs.write({"step": 1, "loss": float("nan"), "by": [float("inf"), 1.0]})
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"step": 1, "loss": None, "by": [None, 1.0]}


def test_a_feed_without_batches_is_an_error():
    with pytest.raises(ValueError, match="no batches"):
        trainer(feed=ListFeed([])).run(1)


def test_latents_and_pixels_are_the_same_example():
    pixels = picture(np.random.default_rng(0), 16, 16)
    data = [Example(f"s{i}", "a thing", pixels) for i in range(4)]
    stored = [Example(f"s{i}", "a thing", None, latents=latent_of(pixels)) for i in range(4)]
    first, second = (trainer(feed=ListFeed(d)).run(1)[0]["loss"] for d in (data, stored))
    assert first == second


# A process that is killed while its second checkpoint is written: before the tensors are whole, and before the rename.
KILLED = """
import os, signal, sys
sys.path.insert(0, {folder!r})
import train_case
from zcurate.model.train import checkpoint
run = train_case.trainer({out!r})
run.run(1)
run.save(background=False)
run.run(2)

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

if {point!r} == "tensors":
    checkpoint.Checkpoints._finish = die
else:
    checkpoint.os.fsync = die
run.save()
run.checkpoints.wait()
print("still alive")
"""


@pytest.mark.parametrize("point", ["tensors", "rename"])
def test_a_process_killed_while_writing_leaves_the_checkpoint_before(tmp_path, point):
    out = tmp_path / "run"
    code = KILLED.format(folder=str(Path(train_case.__file__).parent), out=str(out), point=point)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == -9, done.stderr[-2000:]
    assert "still alive" not in done.stdout
    assert (out / ".step-00000002.part").is_dir()  # what was cut off
    left = trainer(out)
    assert names(left) == ["step-00000001"]
    assert sorted(p.name for p in out.iterdir()) == ["step-00000001"]
    assert left.resume()
    assert left.step == 1
    left.run(2)
