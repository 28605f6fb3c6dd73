"""A model of this machine as an engine of the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from PIL import Image

from ..generate import Generator, Picture
from ..image_files import marked_bytes
from ..request import LOW_PX, PRESETS, Request, Settings, preset_of
from .engine import Made, Order

#: Models of pixels, such as the tiny preset, have a token for every few pixels: they draw up to this side, px, and what
#: they drew is enlarged. The picture's record says so.
PIXEL_MODEL_SIDE_PX = 64


class LocalEngine:
    """A `Generator` behind the server's protocol.

    Args:
        name: what requests call the model; default: the model's own name.
        settings: how to sample; default: what the model is made for.
    """

    def __init__(self, generator: Generator, name: str | None = None, settings: Settings | None = None):
        pipeline = generator.pipeline
        self._generator = generator
        self._settings = settings or PRESETS[preset_of(pipeline)]
        self._small = pipeline.in_pixels
        self.name = name or pipeline.name
        self.multiple_px = 16 if self._small else pipeline.multiple_px
        longest = (
            4096 if self._small else min(pipeline.transformer.config.axes_lens[1:]) * pipeline.multiple_px
        )
        self.sides_px = (LOW_PX, longest)

    def generate(self, orders: Sequence[Order]) -> list[Made]:
        """Pictures of one size, marked as model-made, with their records inside. Raises ModelError."""
        requests = [self._request(order) for order in orders]
        pictures = self._generator.generate(requests, batch=len(requests))
        return [self._made(p, o) for p, o in zip(pictures, orders, strict=True)]

    def _request(self, order: Order) -> Request:
        size = (order.width, order.height)
        if self._small:
            multiple, longest = self._generator.pipeline.multiple_px, max(size)
            size = tuple(
                max(multiple, round(side * PIXEL_MODEL_SIDE_PX / longest / multiple) * multiple)
                for side in size
            )
        return Request(order.prompt, size, order.seed, self._settings)

    def _made(self, picture: Picture, order: Order) -> Made:
        size = (order.width, order.height)
        if picture.image.size != size:
            drawn = f"{picture.image.width}*{picture.image.height}"
            enlarged = picture.image.resize(size, Image.Resampling.BICUBIC)
            record = picture.record | {"width": size[0], "height": size[1], "enlarged_from": drawn}
            picture = replace(picture, image=enlarged, record=record)
        return Made(*size, partial(marked_bytes, picture.image, picture.record))
