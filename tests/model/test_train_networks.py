"""Several networks in one loop, as post-training has them: a frozen teacher, a fake and a student."""

import pytest
import torch

from zcurate.model.pipeline_folder import tiny_pipeline
from zcurate.model.train.checkpoint import Checkpoints
from zcurate.model.train.conditioning import Encoders
from zcurate.model.train.ema import Ema
from zcurate.model.train.errors import TrainingHaltedError
from zcurate.model.train.logs import Guard
from zcurate.model.train.loop import Network, Settings, Trainer
from zcurate.model.train.objective import FlowMatching, sample_means
from zcurate.model.train.optim import optimizer_of
from zcurate.model.train.parallel import Group

from .train_case import ListFeed, examples, tensors


class TwoOfThree:
    """The fake learns data in every step; the student follows the teacher and the fake in every second."""

    def turns(self, step):
        return ("fake", "student") if step % 2 else ("fake",)

    def losses(self, name, batch, models):
        if name == "fake":
            return FlowMatching("fake").losses(name, batch, models)
        x, arguments = batch.x0, (batch.t, batch.features, batch.layout)
        with torch.no_grad():
            goal = (models["teacher"](x, *arguments) + models["fake"](x, *arguments)) / 2
        return sample_means((models["student"](x, *arguments) - goal).square(), batch.layout)


def trained(folder, lr=1e-3):
    networks = {}
    for number, name in enumerate(("student", "teacher", "fake")):
        pipeline = tiny_pipeline(number)
        model = pipeline.transformer
        with torch.no_grad():  # fresh heads are zero: the teacher must say something
            model.head.linear.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(number))
        if name == "teacher":
            networks[name] = Network(model.requires_grad_(False))
            continue
        model.train().requires_grad_(True)
        rate = lr if name == "student" else 2 * lr
        averages = Ema(model, 0.9) if name == "student" else None
        networks[name] = Network(model, optimizer_of(model, lr=rate), lambda n, r=rate: r, ema=averages)
    return Trainer(
        networks,
        TwoOfThree(),
        Encoders(pipeline),
        ListFeed(examples(12, edits=False)),
        Group(),
        Settings(seed=1, spike_factor=0),
        Checkpoints(folder, Group()),
    )


def test_each_is_updated_in_its_turns_and_the_teacher_never(tmp_path):
    run = trained(tmp_path)
    teacher = {n: p.clone() for n, p in run.networks["teacher"].model.named_parameters()}
    records = run.run(4)
    assert {n: x.updates for n, x in run.networks.items()} == {"student": 2, "teacher": 0, "fake": 4}
    assert all(torch.equal(p, teacher[n]) for n, p in run.networks["teacher"].model.named_parameters())
    assert "student/loss" not in records[0]
    assert {"student/loss", "fake/loss", "fake/grad_norm", "student/lr"} <= records[1].keys()
    assert records[1]["fake/lr"] == 2 * records[1]["student/lr"]


def test_all_of_them_resume_to_the_bit(tmp_path):
    run = trained(tmp_path)
    run.run(3)
    run.save(background=False)
    expected = run.run(6)
    again = trained(tmp_path)
    assert again.resume()
    assert [r.get("student/loss") for r in again.run(6)] == [r.get("student/loss") for r in expected]
    now = tensors(again)
    assert not any(name.startswith("teacher/") for name in now)
    assert all(torch.equal(now[name], tensor) for name, tensor in tensors(run).items())


def test_losses_of_one_network_say_nothing_of_anothers():
    guard = Guard(factor=3.0, least=2)
    for step in range(20):
        guard.check(step, "student", 0.01, 1.0, [])
        if step % 4 == 0:
            guard.check(step, "fake", 1.0, 1.0, [])
    with pytest.raises(TrainingHaltedError, match=r"student: .*10\.0 times"):
        guard.check(20, "student", 0.1, 1.0, [(0.1, "a")])
