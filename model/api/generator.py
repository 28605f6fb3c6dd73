"""`dashscope:z-image-turbo` as an engine, for whatever takes pictures from a generator named by a string."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence

from .credentials import endpoint_of, find_key
from .dashscope import MODEL, ImageClient
from .engine import Made, Order
from .request import MAX_PIXELS, ImageRequest

REGION_VARIABLE, SPEND_VARIABLE = "DASHSCOPE_REGION", "ZCURATE_MAX_SPEND_USD"
DEFAULT_REGION, DEFAULT_MAX_SPEND_USD = "beijing", 5.0


class DashScopeGenerator:
    """An `ImageEngine` that asks DashScope, one request per order.

    Args:
        model: `z-image-turbo`, the only name the service knows.
        environment: DASHSCOPE_API_KEY, DASHSCOPE_REGION (beijing or singapore) and ZCURATE_MAX_SPEND_USD (default 5).
        client: instead of one built from the environment.

    Raises:
        ValueError: another model, or a cap that is no number.
        ApiError: no key, or an unknown region.
    """

    multiple_px = 1
    sides_px = (1, MAX_PIXELS)

    def __init__(
        self,
        model: str = MODEL,
        environment: Mapping[str, str] = os.environ,
        client: ImageClient | None = None,
    ):
        if model != MODEL:
            raise ValueError(f"DashScope serves {MODEL!r}, not {model!r}")
        self.name = model
        if client is None:
            endpoint = endpoint_of(None, environment.get(REGION_VARIABLE) or DEFAULT_REGION)
            client = ImageClient(endpoint, find_key(endpoint, environment), max_spend_usd=_cap(environment))
        self._client = client

    @property
    def identity(self) -> str:
        """For fingerprints; nothing here can check what a service serves."""
        return f"dashscope:{self.name} (unverified)"

    def generate(self, orders: Sequence[Order]) -> list[Made]:
        """Pictures of `orders` as PNG. Raises ApiError at the first that fails."""
        return [self._one(order) for order in orders]

    def _one(self, order: Order) -> Made:
        done = self._client.generate(ImageRequest(order.prompt, f"{order.width}*{order.height}", order.seed))
        picture = done.picture
        facts = {"model": done.model, "region": done.region, "request_id": done.result.request_id}
        png = picture.data if picture.suffix == ".png" else _as_png(picture.data)
        return Made(png, picture.width, picture.height, facts)


def _as_png(data: bytes) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        out = io.BytesIO()
        image.convert("RGB").save(out, "PNG")
    return out.getvalue()


def _cap(environment: Mapping[str, str]) -> float:
    text = environment.get(SPEND_VARIABLE, "").strip()
    try:
        return float(text) if text else DEFAULT_MAX_SPEND_USD
    except ValueError as e:
        raise ValueError(f"{SPEND_VARIABLE}={text!r} is no number of USD") from e
