"""Times of samplers against the released tables and diffusers' scheduler; identities of the conventions."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zcurate.model import flow
from zcurate.model.errors import ModelConfigError
from zcurate.model.flow import Schedule, interpolate, logit_normal_times, sigmas


def test_turbo_table():
    times = Schedule(shift=3.0).times(8, tokens=4096)
    assert len(times) == 9
    expected = [1, 21 / 22, 0.9, 5 / 6, 0.75, 9 / 14, 0.5, 0.3, 0]
    assert np.allclose(sigmas(times), expected, atol=1e-12)
    assert np.allclose(sigmas(times), [1, 0.9545, 0.9, 0.8333, 0.75, 0.6429, 0.5, 0.3, 0], atol=5e-5)


def test_nine_steps_are_nine_forwards_at_their_own_times():
    times = Schedule(shift=3.0).times(9, tokens=4096)
    assert len(times) == 10
    expected = [1, 0.96, 0.913, 0.857, 0.789, 0.706, 0.6, 0.4615, 0.2727, 0]
    assert np.allclose(sigmas(times), expected, atol=5e-4)


@pytest.mark.parametrize("steps", [1, 4, 8, 28, 50])
@pytest.mark.parametrize(
    "schedule", [Schedule(3.0), Schedule(6.0), Schedule(dynamic=True)], ids=["turbo", "base", "dynamic"]
)
@pytest.mark.parametrize("tokens", [256, 4096, 9216])
def test_times_are_those_of_diffusers(schedule, steps, tokens):
    from diffusers import FlowMatchEulerDiscreteScheduler

    peer = FlowMatchEulerDiscreteScheduler.from_config(schedule.to_config())
    peer.set_timesteps(
        steps, sigmas=np.linspace(1.0, 1 / steps, steps), mu=schedule.mu(tokens) if schedule.dynamic else None
    )
    assert np.allclose(sigmas(schedule.times(steps, tokens)), peer.sigmas.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("tokens", "mu"), [(256, 0.5), (1024, 0.63), (2304, 0.847), (4096, 1.15), (9216, 2.017), (16384, 3.23)]
)
def test_flux_shift(tokens, mu):
    assert Schedule(dynamic=True).mu(tokens) == pytest.approx(mu, abs=5e-4)
    assert Schedule(dynamic=True).factor(tokens) == pytest.approx(math.exp(mu), rel=5e-3)


@given(st.integers(1, 200), st.floats(0.2, 30))
def test_times_rise_from_noise_to_data(steps, shift):
    times = Schedule(shift).times(steps, 1)
    assert times[0] == 0
    assert times[-1] == 1
    assert len(times) == steps + 1
    assert all(a < b for a, b in zip(times, times[1:], strict=False))


@given(st.floats(-6, 6), st.floats(-2, 4))
def test_a_shift_translates_the_logit(normal, mu):
    t = logit_normal_times(torch.tensor(normal, dtype=torch.float64), 0.0)
    shifted = logit_normal_times(torch.tensor(normal, dtype=torch.float64), mu)
    assert 1 - float(shifted) == pytest.approx(flow.shift_sigma(1 - float(t), math.exp(mu)), rel=1e-9)


def test_velocity_leads_back_to_noise_and_data():
    x0, x1 = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for t in (0.0, 0.3, 0.9):
        x, u = interpolate(x0, x1, t), x1 - x0
        assert torch.allclose(flow.data_of(x, u, t), x1)
        assert torch.allclose(flow.noise_of(x, u, t), x0)
        assert torch.allclose(flow.score_of(x, u, t), -x0 / (1 - t))


def test_a_configuration_survives_the_disk(tmp_path):
    schedule = Schedule(shift=6.0, dynamic=True, max_mu=1.3)
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps(schedule.to_config()))
    assert Schedule.read(path) == schedule


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"use_karras_sigmas": True}, "use_karras_sigmas"),
        ({"shift_terminal": 0.1}, "shift_terminal"),
        ({"shift": "wide"}, "wide"),
        ({"shift": -1}, "shift"),
    ],
)
def test_unsupported_schedules_are_named(tmp_path, change, named):
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps(Schedule().to_config() | change))
    with pytest.raises(ModelConfigError, match=named):
        Schedule.read(path)


def test_no_steps_are_refused():
    with pytest.raises(ModelConfigError, match="steps"):
        Schedule().times(0, 256)
