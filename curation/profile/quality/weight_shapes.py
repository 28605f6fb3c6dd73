"""What a file of weights holds: name and shape of every array, without the networks themselves, which would import PyTorch."""

from __future__ import annotations

from .edges import EDGE_VALUES
from .histograms import LIGHT_BINS
from .scores import EXPOSURE_SCORES, TILE_SCORES
from .spectra import SPECTRUM_VALUES
from .trees import NODES, TREES

Shapes = dict[str, tuple[int, ...]]


def expected_shapes() -> Shapes:
    """Of all networks and the trees, as `train` writes them."""
    parts = {
        "tiles": _tiles(),
        "blur": _blur(),
        "marks": _marks(),
        "cast": _cast(),
        "exposure": _exposure(),
    }
    return {f"{part}.{name}": shape for part, shapes in parts.items() for name, shape in shapes.items()}


def _tiles() -> Shapes:
    channels = 16, 24, 32, 48, 48
    shapes = {f"blocks.fed.{k}.most": (channels[k],) for k in range(1, 4)}
    for k in range(4):
        shapes |= _block(f"blocks.{k}", channels[k], channels[k + 1], 3)
    shapes |= _linear("native", 96, 64) | _linear("wide", 96, 48) | _linear("hidden", 2 * 64 + 2 * 48, 64)
    return shapes | _linear("out", 64, len(TILE_SCORES))


def _blur() -> Shapes:
    shapes: Shapes = {}
    for name, values in (
        *((name, EDGE_VALUES) for name in ("windows", "whole")),
        *((f"spectra.{k}", SPECTRUM_VALUES) for k in range(2)),
    ):
        for layer, inputs in (("first", values), ("second", 32)):
            shapes |= {f"{name}.{layer}.weight": (32, inputs, 3), f"{name}.{layer}.bias": (32,)}
    return (
        shapes
        | _linear("hidden.0", 10 * 32 + 1 + 64, 64)
        | _linear("hidden.2", 64, 64)
        | _linear("out", 64, 1)
    )


def _marks() -> Shapes:
    shapes: Shapes = {"sure": ()}
    shapes |= _block("strokes.0.0", 24, 32, 2) | _block("strokes.0.1", 32, 48, 2)
    shapes |= {"strokes.0.fed.1.most": (32,)} | _wide("strokes.1", 48)
    shapes |= _convolution("fine", 48, 1, 1) | _convolution("mask", 64, 1, 1)
    shapes |= _block("shapes.0.0", 48, 64, 3) | {"shapes.0.fed.0.most": (48,)}
    for k in range(1, 6):
        shapes |= (_wide if k < 4 else _deep)(f"shapes.{k}", 64)
    shapes |= _block("whole.0.0", 64, 96, 3) | {"whole.0.fed.0.most": (64,)}
    shapes |= _deep("whole.1", 96) | _deep("whole.2", 96)
    return shapes | _linear("hidden", 2 * 96 + 3, 48) | _linear("out", 48, 1)


def _cast() -> Shapes:
    shapes: Shapes = {name: (TREES, NODES) for name in ("feature", "threshold", "value")}
    return shapes | {"children": (TREES, NODES, 2), "base": (), "shift": ()}


def _exposure() -> Shapes:
    return _linear("0", LIGHT_BINS, 64) | _linear("2", 64, 32) | _linear("4", 32, len(EXPOSURE_SCORES))


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _convolution(name: str, inputs: int, outputs: int, size: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, size, size), f"{name}.bias": (outputs,)}


def _block(name: str, inputs: int, outputs: int, size: int) -> Shapes:
    """`chains.Block`."""
    norm = {f"{name}.1.{of}": (outputs,) for of in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.0.weight": (outputs, inputs, size, size), f"{name}.1.num_batches_tracked": ()} | norm


def _wide(name: str, channels: int) -> Shapes:
    """`network._Wide`."""
    shapes = _convolution(f"{name}.depth", 1, channels, 5) | _block(f"{name}.point.0", channels, channels, 1)
    return shapes | {f"{name}.point.fed.0.most": (channels,)}


def _deep(name: str, channels: int) -> Shapes:
    """`network._Deep`."""
    inside = 2 * channels
    shapes = _convolution(f"{name}.depth", 1, channels, 5) | _block(f"{name}.points.0", channels, inside, 1)
    shapes |= _convolution(f"{name}.points.1", inside, channels, 1)
    return shapes | {f"{name}.points.fed.0.most": (channels,), f"{name}.points.fed.1.most": (inside,)}
