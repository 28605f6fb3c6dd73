"""OpenVINO without its model converter, which on import reports its use to its makers, over the network and by files in the home
folder. Nothing here needs it; import OpenVINO from here alone. Where something else imports OpenVINO first, or its converter
later, it reports that.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

_CONVERTER = "openvino.tools.ovc"


def _imported() -> ModuleType:
    """OpenVINO goes on without a converter that is not installed, which None in its place looks like."""
    if "openvino" in sys.modules:  # somebody else's choice
        return sys.modules["openvino"]
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]
    try:
        return import_module("openvino")
    finally:
        del sys.modules[_CONVERTER]


ov = _imported()
op = ov.opset13
InferRequest, Model, Node, PartialShape = (
    ov.InferRequest,
    ov.Model,
    ov.Node,
    ov.PartialShape,
)
