"""The depthwise convolution that training uses has the values and gradients of PyTorch's."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from zcurate.curation.profile.quality.depthwise import DepthwiseConv2d


def pair(channels: int, size: int) -> tuple[nn.Module, nn.Module]:
    ours = DepthwiseConv2d(channels, size)
    theirs = nn.Conv2d(channels, channels, size, padding=size // 2, groups=channels)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def learned(layer: nn.Module, x: torch.Tensor, above: torch.Tensor) -> list[torch.Tensor]:
    given = x.clone().requires_grad_()
    out = layer(given)
    (out * above).sum().backward()
    return [out.detach(), given.grad, layer.weight.grad, layer.bias.grad]


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 9),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    size=st.sampled_from([1, 3, 5, 7]),
    last=st.booleans(),
)
def test_values_and_gradients_are_those_of_a_convolution(batch, channels, height, width, size, last):
    torch.manual_seed(0)
    x, above = torch.randn(2, batch, channels, height, width)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    for ours, theirs in zip(*(learned(layer, x, above) for layer in pair(channels, size)), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_bfloat16_is_close_to_single_precision():
    torch.manual_seed(0)
    ours, theirs = pair(16, 5)
    x, above = torch.randn(2, 2, 16, 20, 20)
    with torch.autocast("cpu", torch.bfloat16):
        rough = learned(ours, x, above)
    assert rough[0].dtype == torch.bfloat16
    for a, b in zip(rough, learned(theirs, x, above), strict=True):
        torch.testing.assert_close(a.float(), b, atol=0.02 * float(b.abs().max()), rtol=0)


def test_without_a_gradient_it_is_the_convolution_itself():
    ours, theirs = pair(8, 5)
    x = torch.randn(1, 8, 10, 10)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))


def test_an_input_that_needs_no_gradient_gets_none():
    ours, _ = pair(8, 5)
    x = torch.randn(1, 8, 10, 10)
    ours(x).sum().backward()
    assert x.grad is None
    assert ours.weight.grad.abs().sum() > 0


def test_the_gradient_is_what_numbers_say():
    """By finite differences; the sum of products is kept in single precision, hence the tolerance."""
    ours, _ = pair(3, 3)
    ours = ours.double()
    x = torch.randn(1, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ours, (x,), atol=1e-4)
