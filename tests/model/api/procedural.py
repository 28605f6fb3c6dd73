"""An engine without a model: noise that depends on prompt, size and seed alone. Fast and deterministic."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Sequence

import numpy as np
from PIL import Image

from zcurate.model.api.engine import Made, Order
from zcurate.model.errors import MemoryShortError


class ProceduralEngine:
    """Draws; notes the sizes of its batches; can be held back by `gate`, and fails on prompts that ask for it."""

    name = "procedural"
    multiple_px = 16
    sides_px = (256, 4096)

    def __init__(self) -> None:
        self.batches: list[list[Order]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def generate(self, orders: Sequence[Order]) -> list[Made]:
        self.entered.set()
        assert self.gate.wait(60)
        self.batches.append(list(orders))
        return [_draw(order) for order in orders]


def _draw(order: Order) -> Made:
    if "crash" in order.prompt:
        raise ZeroDivisionError("secret detail of the engine")
    if "too much memory" in order.prompt:
        raise MemoryShortError("out of memory: take a smaller size")
    digest = hashlib.sha256(f"{order.prompt}\0{order.seed}".encode()).digest()
    rng = np.random.default_rng(list(digest))
    rgb = rng.integers(0, 256, (order.height, order.width, 3), np.uint8)

    def encode() -> bytes:
        if "unencodable" in order.prompt:
            raise ZeroDivisionError("secret detail of the encoder")
        out = io.BytesIO()
        Image.fromarray(rgb).save(out, "PNG", compress_level=0)
        return out.getvalue()

    return Made(order.width, order.height, encode)
