"""The network as it runs, of folded arrays: see `network.ResidualNetwork.folded`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..engine import Engine, constant, convolution, dense, largest, mean, transposed
from ..openvino_runtime import op
from .crops import CROP_PX, CROPS

#: Residuals are cut off at this many times their mean magnitude: beyond are edges of the scene, not traces.
CUT_AT = 3.0
#: Mean magnitude, in grey levels, added before dividing by it: below it there are rounding errors.
LEAST_LEVELS = 0.5
#: Channels of each layer; all have 3 x 3 kernels, and each after the first halves the size.
WIDTHS = (8, 20, 28, 36)
#: Values between the two layers after that.
HIDDEN = 24


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every array a weight file must hold."""
    shapes: dict[str, tuple[int, ...]] = {"residual.weight": (WIDTHS[0], 3, 3, 3)}
    for i, (before, after) in enumerate(zip(WIDTHS[:-1], WIDTHS[1:], strict=True), start=1):
        shapes |= {f"conv{i}.weight": (after, before, 3, 3), f"conv{i}.bias": (after,)}
    shapes |= {"hidden.weight": (HIDDEN, 2 * WIDTHS[-1]), "hidden.bias": (HIDDEN,)}
    return shapes | {"out.weight": (1, HIDDEN), "out.bias": (1,)}


def evidence_engine(arrays: Mapping[str, np.ndarray]) -> Engine:
    """What `ResidualNetwork.forward` gives in evaluation mode: of uint8 [n, CROP_PX, CROP_PX, 3], float32 [n], log-odds without
    a prior.

    Args:
        arrays: float32, as of `expected_shapes`.
    """
    crops = op.parameter([-1, CROP_PX, CROP_PX, 3], np.uint8)
    pixels = op.convert(transposed(crops, 0, 3, 1, 2), "f32")
    residuals = convolution(pixels, arrays["residual.weight"], np.zeros(WIDTHS[0], np.float32))
    magnitude = op.reduce_mean(op.abs(residuals), op.constant([1, 2, 3]), True)
    limit = op.multiply(op.add(magnitude, constant(LEAST_LEVELS)), constant(CUT_AT))
    x = op.clamp(op.divide(residuals, limit), -1.0, 1.0)
    for i in range(1, len(WIDTHS)):
        x = convolution(x, arrays[f"conv{i}.weight"], arrays[f"conv{i}.bias"], stride=2, relu=True)
    pooled = op.concat([mean(x, 2, 3), largest(x, 2, 3)], 1)
    hidden = dense(pooled, arrays["hidden.weight"], arrays["hidden.bias"], relu=True)
    out = dense(hidden, arrays["out.weight"], arrays["out.bias"])
    return Engine([op.squeeze(out, op.constant([1]))], [crops], together=CROPS)
