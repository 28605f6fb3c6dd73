"""`dashscope:z-image-turbo` as a generator: the same requests and pictures as a model of this machine."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from PIL import Image

from ..errors import GenerationError
from .credentials import endpoint_of, find_key
from .dashscope import MODEL, ImageClient
from .errors import RequestError
from .outputs import facts, maker
from .request import ImageRequest, check_seed

if TYPE_CHECKING:
    from ..generate import Picture
    from ..request import Request
    from .dashscope import Generated

REGION_VARIABLE, SPEND_VARIABLE = "DASHSCOPE_REGION", "ZCURATE_MAX_SPEND_USD"
DEFAULT_REGION, DEFAULT_MAX_SPEND_USD = "beijing", 5.0
#: Requests under way at once at most; the service allows 120 a minute.
MAX_CONNECTIONS = 16


class DashScopeGenerator:
    """Asks DashScope for pictures. What they may cost together is bounded; see `ImageClient.max_spend_usd`.

    Args:
        model: `z-image-turbo`, the only name the service knows.
        environment: DASHSCOPE_API_KEY, DASHSCOPE_REGION (beijing or singapore) and ZCURATE_MAX_SPEND_USD (default 5).
        client: instead of one built from the environment.

    Raises:
        ValueError: another model, or a cap that is no number.
        ApiError: no key, or an unknown region.
    """

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

    @property
    def spent_usd(self) -> float:
        """List price of what was asked for so far."""
        return self._client.spent_usd

    def close(self) -> None:
        self._client.close()

    def generate(self, requests: Sequence[Request], batch: int = 1) -> Iterator[Picture]:
        """Pictures in the order of the requests, `batch` of them asked for at once.

        Settings are the service's own: `request.settings` has no effect.

        Raises:
            GenerationError: a negative prompt, references or a start picture, before anything is sent.
            ApiError: a size, seed or prompt the service does not take, before anything is sent; or its refusal.
        """
        asked = [_asked(request) for request in requests]
        with ThreadPoolExecutor(min(max(batch, 1), MAX_CONNECTIONS), thread_name_prefix="dashscope") as pool:
            for start in range(0, len(asked), max(batch, 1)):
                chunk = slice(start, start + max(batch, 1))
                done = pool.map(self._client.generate, asked[chunk])
                for request, one in zip(requests[chunk], done, strict=True):
                    yield _picture(request, one, self.identity)


def _asked(request: Request) -> ImageRequest:
    if request.references or request.start is not None:
        raise GenerationError(f"{MODEL} makes pictures from text alone: no references, no start picture")
    if request.negative:
        raise GenerationError(f"{MODEL} takes no negative prompt: say what you want in the prompt")
    width, height = request.size
    return ImageRequest(request.prompt, f"{width}*{height}", check_seed(request.seed))


def _picture(request: Request, done: Generated, identity: str) -> Picture:
    from ..generate import Picture

    with Image.open(io.BytesIO(done.picture.data)) as image:
        pixels = image.convert("RGB")
    made = {"model": identity, "seed": request.seed, "software": maker(done)}
    return Picture(pixels, request, facts(done) | made)


def _cap(environment: Mapping[str, str]) -> float:
    text = environment.get(SPEND_VARIABLE, "").strip()
    try:
        cap = float(text) if text else DEFAULT_MAX_SPEND_USD
    except ValueError as e:
        raise ValueError(f"{SPEND_VARIABLE}={text!r} is no number of USD") from e
    if not (math.isfinite(cap) and cap >= 0):
        raise RequestError(f"{SPEND_VARIABLE}={text!r} must be 0 or more USD")
    return cap
