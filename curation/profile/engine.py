"""Networks as they run beside the profile: OpenVINO on one core, which starts sooner and takes less memory than PyTorch.

Importing this imports OpenVINO.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

from .openvino_runtime import InferRequest, Model, Node, PartialShape, op, ov

#: Inputs that go through a network of convolutions together: few, so that what is between two layers fits into the cache.
TOGETHER = 4

#: Values between two convolutions of whole numbers are 0 .. 255, or -128 .. 127 where some are negative.
_LEVELS = 256
UNSIGNED, SIGNED = (0, 255), (-128, 127)


class Engine:
    """A network, for any number of inputs. Threads wait for each other.

    Args:
        outputs: its outputs, all [n, ...].
        inputs: its inputs, all [n, ...].
        together: how many go through it together; what is over goes one by one.
    """

    def __init__(self, outputs: Sequence[Node], inputs: Sequence[Node], together: int = TOGETHER):
        self._model = Model(list(outputs), list(inputs))
        self._together, self._lock = together, Lock()
        self._ready: dict[tuple[tuple[int, ...], ...], InferRequest] = {}

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """What the network makes of contiguous arrays [n, ...], n at least 1: its outputs, [n, ...]."""
        count, start, made = len(arrays[0]), 0, []
        while start < count:
            end = start + (self._together if count - start >= self._together else 1)
            made.append(self._infer([array[start:end] for array in arrays]))
            start = end
        return [np.concatenate(parts) for parts in zip(*made, strict=True)]

    def _infer(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        shapes = tuple(array.shape for array in arrays)
        with self._lock:  # as a request keeps its input until it has its output
            request = self._ready.get(shapes)
            if request is None:  # for sizes that are known OpenVINO can plan ahead
                model = self._model.clone()
                model.reshape(dict(zip(model.inputs, map(PartialShape, shapes), strict=True)))
                request = compiled(model, adds_up_whole_numbers()).create_infer_request()
                self._ready[shapes] = request
            return list(request.infer(arrays, share_inputs=True).values())


def compiled(model: Model, whole_numbers: bool) -> ov.CompiledModel:
    """The model for one core.

    Args:
        whole_numbers: whether convolutions between `quantized` values are of 8-bit numbers; otherwise the same ones are added
            up in float32, which holds such sums exactly.
    """
    how: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # all workers of a machine would be pinned to the same core
        "INFERENCE_PRECISION_HINT": "f32",  # bfloat16 would change scores where processors have it
        "LP_TRANSFORMS_MODE": whole_numbers,
    }
    return _core().compile_model(model, "CPU", how)


@cache
def _core() -> ov.Core:
    return ov.Core()


@cache
def adds_up_whole_numbers() -> bool:
    """Are sums of 8-bit products exact here? Tried with the largest there are.

    Processors without VNNI add two products up in 16 bits, where the largest do not fit.
    """
    given = op.parameter([1, 8, 8, 8], np.float32)
    weight = np.full((8, 8, 3, 3), 127, np.int8)
    weight[4:, ::2] = -127
    x = convolution(quantized(given, UNSIGNED), weight, np.zeros(8, np.float32), scale=np.ones(8, np.float32))
    model = Model([x], [given])
    values = np.arange(512, dtype=np.float32).reshape(1, 8, 8, 8) % 256
    values[0, :, :4] = 255
    exact, got = (next(iter(compiled(model.clone(), way)([values]).values())) for way in (False, True))
    return bool((got == exact).all())


def constant(values: np.ndarray | float) -> Node:
    """A float32 constant."""
    return op.constant(np.asarray(values, np.float32))


def quantized(x: Node, levels: tuple[int, int]) -> Node:
    """Nearest whole numbers between two, `UNSIGNED` or `SIGNED`, of [n, channels, h, w]."""
    lowest, highest = (constant(np.full((1, 1, 1, 1), level)) for level in levels)
    return op.fake_quantize(x, lowest, highest, lowest, highest, _LEVELS)


def convolution(
    x: Node,
    weight: np.ndarray,
    bias: np.ndarray,
    stride: int = 1,
    padding: int = 0,
    scale: np.ndarray | None = None,
    relu: bool = False,
) -> Node:
    """Convolution of [n, c, h, w].

    Args:
        weight: float32 [c', c, k, k], or [c, 1, k, k] for a filter for each channel by itself; int8 with a scale.
        bias: float32 [c'].
        scale: float32 [c'], what 1 means in each filter of whole numbers.
    """
    shape = weight.shape
    depthwise = shape[1] == 1 != x.get_output_partial_shape(0)[1].get_length()
    if depthwise:
        shape = (shape[0], 1, *shape[1:])
    if scale is None:
        kernel = constant(weight.reshape(shape))
    else:
        whole = op.convert(op.constant(weight.reshape(shape)), "f32")
        kernel = op.multiply(whole, constant(scale.reshape(-1, *[1] * (len(shape) - 1))))
    how = [stride] * 2, [padding] * 2, [padding] * 2, [1, 1]
    out = op.group_convolution(x, kernel, *how) if depthwise else op.convolution(x, kernel, *how)
    out = op.add(out, constant(bias.reshape(1, -1, 1, 1)))
    return op.relu(out) if relu else out


def dense(x: Node, weight: np.ndarray, bias: np.ndarray, relu: bool = False) -> Node:
    """[..., m] of [..., k]; weight [m, k], bias [m]."""
    out = op.add(op.matmul(x, constant(weight), False, True), constant(bias))
    return op.relu(out) if relu else out


def mean(x: Node, *axes: int) -> Node:
    """Over axes that are left out."""
    return op.reduce_mean(x, op.constant(np.array(axes)), False)


def largest(x: Node, *axes: int) -> Node:
    """Over axes that are left out."""
    return op.reduce_max(x, op.constant(np.array(axes)), False)


def reshaped(x: Node, *shape: int) -> Node:
    """0 keeps a size, -1 is what is left."""
    return op.reshape(x, op.constant(np.array(shape)), True)


def transposed(x: Node, *order: int) -> Node:
    return op.transpose(x, op.constant(np.array(order)))


def part(x: Node, axis: int, start: int, stop: int) -> Node:
    """x[start:stop] along an axis."""
    start_stop_step_axis = (op.constant(np.array([k])) for k in (start, stop, 1, axis))
    return op.slice(x, *start_stop_step_axis)
