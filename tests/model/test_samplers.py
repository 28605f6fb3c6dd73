"""Samplers on fields whose solution is known, and guidance on a real model."""

import math
from dataclasses import replace

import pytest
import torch

from zcurate.model.flow import Schedule, interpolate
from zcurate.model.guidance import Condition, Denoiser, Guidance, guide
from zcurate.model.packing import patchify
from zcurate.model.samplers import euler, heun, log_prob, sde_mean_std, sde_steps

from .peer import TINY, random_model

TIMES = Schedule(3.0).times(8, 256)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gaussian(mean, std):
    """The exact velocity from N(0, 1) to N(mean, std^2): x_t is normal, so E[x1 - x0 | x_t] is linear in x."""

    def velocity(x, t):
        variance = (t * std) ** 2 + (1 - t) ** 2
        return mean + (t * std**2 - (1 - t)) / variance * (x - t * mean)

    return velocity


def counted(velocity):
    calls = []

    def run(x, t):
        calls.append(t)
        return velocity(x, t)

    return run, calls


def test_a_straight_path_takes_one_step():
    x0, x1 = noise(6, 4), noise(6, 4, seed=1)
    assert torch.allclose(euler(lambda x, t: x1 - x0, x0, (0.0, 1.0)), x1, atol=1e-6)


@pytest.mark.parametrize(("sampler", "forwards"), [(euler, 8), (heun, 15)])
def test_forwards_are_counted(sampler, forwards):
    run, calls = counted(gaussian(0.5, 0.2))
    sampler(run, noise(4, 4), TIMES)
    assert len(calls) == forwards
    assert max(calls) < 1


def test_heun_is_second_order_and_euler_first():
    """Halving steps divides the error by 4 and 2. The exact map of a Gaussian field is x1 = mean + std * x0."""
    x0 = noise(64, 4).double()
    exact = 0.5 + 0.2 * x0

    def error(sampler, steps):
        times = tuple(i / steps for i in range(steps + 1))
        got = sampler(lambda x, t: gaussian(0.5, 0.2)(x.double(), t).double(), x0, times)
        return float((got - exact).abs().mean())

    assert error(euler, 64) / error(euler, 128) == pytest.approx(2, abs=0.2)
    assert error(heun, 64) < error(euler, 64) / 4


def test_sde_without_noise_is_euler_bit_for_bit():
    velocity = gaussian(0.3, 0.5)
    x0 = noise(6, 4)
    steps = list(sde_steps(velocity, x0, TIMES, lambda: noise(6, 4), [6], a=0))
    assert torch.equal(steps[-1].next_x, euler(velocity, x0, TIMES))
    assert all(step.log_prob is None and step.std == 0 for step in steps)


def test_sde_step_is_that_of_flow_grpo():
    """Their formula, in sigma = 1 - t with the velocity noise - data."""
    x, u = noise(6, 4).double(), noise(6, 4, seed=1).double()
    for t, following in ((0.0, 0.1), (0.25, 0.4), (0.7, 1.0)):
        sigma, dt, v, a = 1 - t, (1 - following) - (1 - t), -u, 0.7
        largest = 1 - following
        s = math.sqrt(sigma / (1 - (largest if sigma == 1 else sigma))) * a
        mean = x * (1 + s**2 / (2 * sigma) * dt) + v * (1 + s**2 * (1 - sigma) / (2 * sigma)) * dt
        ours, std = sde_mean_std(x, u, t, following, a)
        assert torch.allclose(ours, mean)
        assert std == pytest.approx(s * math.sqrt(-dt))


def test_sde_keeps_the_marginals():
    """Many fine steps, with noise, end in the distribution that the ODE ends in."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 1, generator=generator)
    times = tuple(0.01 + 0.99 * i / 300 for i in range(301))

    def fresh():
        return torch.randn(x.shape, generator=generator)

    for step in sde_steps(gaussian(0.5, 0.2), x, times, fresh, [len(x)], a=0.5):
        last = step.next_x
    assert float(last.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(last.std()) == pytest.approx(0.2, abs=0.02)


def test_log_probabilities_are_those_of_torch_and_ratios_start_at_one():
    x0 = noise(10, 4)
    generator = torch.Generator().manual_seed(3)
    velocity = gaussian(0.3, 0.5)
    for step in sde_steps(
        velocity, x0, TIMES, lambda: torch.randn(10, 4, generator=generator), [6, 4], [0.7] * 3 + [0] * 5
    ):
        if not step.std:
            assert step.log_prob is None
            continue
        dist = torch.distributions.Normal(step.mean, step.std).log_prob(step.next_x)
        assert torch.allclose(step.log_prob, torch.stack([dist[:6].mean(), dist[6:].mean()]), atol=1e-5)
        mean, std = sde_mean_std(step.x, velocity(step.x, step.t), step.t, step.next_t, 0.7)
        assert torch.equal(log_prob(step.next_x, mean, std, [6, 4]), step.log_prob)


def test_samplers_are_differentiable():
    scale = torch.tensor(0.5, requires_grad=True)
    for sampler in (euler, heun):
        sampler(lambda x, t: scale * x, noise(4, 4), TIMES).square().sum().backward()
        assert scale.grad.isfinite()
        assert scale.grad != 0
        scale.grad = None
    for step in sde_steps(lambda x, t: scale * x, noise(4, 4), TIMES, lambda: noise(4, 4), [4]):
        last = step
    last.log_prob.sum().backward()
    assert scale.grad.isfinite()
    assert scale.grad != 0


# Guidance


def conditions(lengths, seed=0):
    return [Condition((8, 12), (noise(n, TINY.cap_feat_dim, seed=seed + n),)) for n in lengths]


@pytest.fixture(scope="module")
def model():
    return random_model(TINY)


@torch.no_grad()
def test_guided_velocity_is_that_of_two_runs(model):
    pos, neg = conditions([5, 33]), conditions([3, 3], seed=9)
    x = patchify([noise(16, 8, 12, seed=s) for s in (1, 2)])
    both = Denoiser(model, pos, neg, Guidance(3.0), TIMES)
    got = both(x, TIMES[3])
    cond, uncond = Denoiser(model, pos)(x, TIMES[3]), Denoiser(model, neg)(x, TIMES[3])
    # The textbook's weight is one more: uncond + w (cond - uncond), w = 1 + s.
    assert torch.allclose(got, uncond + 4.0 * (cond - uncond), atol=1e-4)
    assert both.forwards == 1


@torch.no_grad()
def test_scale_zero_runs_no_unconditional_sample(model, monkeypatch):
    seen = []
    forward = type(model).forward

    def watched(self, x, t, condition, layout):
        seen.append(len(layout.samples))
        return forward(self, x, t, condition, layout)

    monkeypatch.setattr(type(model), "forward", watched)
    pos, neg = conditions([5]), conditions([3])
    x = patchify([noise(16, 8, 12)])
    euler(Denoiser(model, pos, neg, Guidance(0.0), TIMES), x, TIMES)
    assert seen == [1] * 8
    seen.clear()
    euler(Denoiser(model, pos, neg, Guidance(2.0, truncation=0.2), TIMES), x, TIMES)
    assert seen == [2 if t <= 0.2 else 1 for t in TIMES[:-1]]
    assert set(seen) == {1, 2}


def test_normalization_bounds_the_norm_of_each_sample():
    cond, uncond = noise(10, 4), noise(10, 4, seed=1)
    guided = guide(cond, uncond, Guidance(5.0, normalization=1.0), [6, 4])
    free = guide(cond, uncond, Guidance(5.0), [6, 4])
    for part, own, loose in zip(guided.split([6, 4]), cond.split([6, 4]), free.split([6, 4]), strict=True):
        assert part.norm() == pytest.approx(float(own.norm()), rel=1e-5)
        assert torch.allclose(part / part.norm(), loose / loose.norm(), atol=1e-6)
    assert torch.allclose(guide(cond, uncond, Guidance(5.0, normalization=100.0), [6, 4]), free, atol=1e-5)


@torch.no_grad()
def test_prepared_times_change_nothing(model):
    pos = conditions([5, 33])
    x = patchify([noise(16, 8, 12, seed=s) for s in (1, 2)])
    prepared, plain = Denoiser(model, pos, times=TIMES), Denoiser(model, pos)
    for t in TIMES[:-1]:
        assert torch.allclose(prepared(x, t), plain(x, t), rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_weights_through_a_guided_run(model):
    model = random_model(replace(TINY, n_layers=1))
    pos, neg = conditions([5]), conditions([3])
    x1 = noise(24, 64, seed=5)
    x = euler(Denoiser(model, pos, neg, Guidance(1.0), TIMES[:3]), noise(24, 64), TIMES[:3])
    (x - interpolate(torch.zeros(()), x1, 1.0)).square().mean().backward()
    grads = [p.grad for n, p in model.named_parameters() if "modulation.weight" in n]
    assert grads
    assert all(g is not None and g.isfinite().all() for g in grads)


@pytest.mark.parametrize("sampler", [euler, heun], ids=["euler", "heun"])
def test_gradients_are_those_of_finite_differences(sampler):
    """Of the result, with respect to the start and a weight of the velocity. Velocities are float32: wide steps."""

    def run(x, weight):
        return sampler(lambda x, t: torch.tanh(x * weight) - t * x, x, TIMES[:4]).double()

    x = noise(3, 2).double().requires_grad_()
    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, weight), eps=1e-2, atol=1e-3, rtol=1e-2)


def test_gradients_of_log_probabilities_are_those_of_finite_differences():
    """With respect to the velocity's weight, next states held fixed: what policy gradients need."""
    generator = torch.Generator().manual_seed(3)
    x = noise(4, 2)
    u = noise(4, 2, seed=1)
    for t, following in zip(TIMES[:3], TIMES[1:4], strict=True):
        fixed = noise(4, 2, seed=2)

        def density(weight, t=t, following=following, fixed=fixed):
            mean, std = sde_mean_std(x.double(), weight * u.double(), t, following, 0.7)
            return log_prob(fixed.double(), mean, std, [3, 1])

        weight = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(density, (weight,))
        # The gradient that a step carries is this one.
        scale = torch.tensor(0.9, requires_grad=True)
        (step,) = sde_steps(
            lambda _, __, scale=scale: scale * u,
            x,
            (t, following),
            lambda: torch.randn(4, 2, generator=generator),
            [3, 1],
        )
        (own,) = torch.autograd.grad(step.log_prob.sum(), scale)
        (want,) = torch.autograd.grad(density(weight, fixed=step.next_x.detach()).sum(), weight)
        assert float(own) == pytest.approx(float(want), rel=1e-3, abs=1e-4)
