"""image.generate: what is asked for and what comes back. The one schema of client, server and command line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from .errors import RequestError

#: Total pixels of a picture, both inclusive.
MIN_PIXELS, MAX_PIXELS = 512 * 512, 2048 * 2048
#: Longest prompt any engine here is given, characters. Engines and servers may allow fewer.
MAX_PROMPT_CHARS = 4000
#: Seeds are 0 to this.
MAX_SEED = 2**31 - 1
DEFAULT_SIZE = "1024*1024"

_SIZE = re.compile(r"([1-9][0-9]{0,4})\*([1-9][0-9]{0,4})", re.ASCII)
_QUOTED_CHARS = 60


@dataclass(frozen=True)
class ImageRequest:
    """One picture.

    Attributes:
        prompt: what to draw, 1 to 4,000 characters without control characters.
        size: `W*H` in pixels, 512*512 to 2048*2048 pixels in total.
        seed: 0 to 2147483647; None: drawn at random by whoever makes the picture.
        prompt_extend: have the prompt rewritten first. Billed higher by DashScope.
        base_url: where to send the request instead of a region's endpoint; for the client alone.

    Raises:
        RequestError: naming the field.
    """

    prompt: str
    size: str = DEFAULT_SIZE
    seed: int | None = None
    prompt_extend: bool = False
    base_url: str | None = None

    def __post_init__(self) -> None:
        check_prompt(self.prompt)
        parse_size(self.size)
        if self.seed is not None:
            check_seed(self.seed)
        if not isinstance(self.prompt_extend, bool):
            raise RequestError(f"prompt_extend must be true or false, not {_shown(self.prompt_extend)}")
        if self.base_url is not None and not isinstance(self.base_url, str):
            raise RequestError(f"base_url must be a URL, not {_shown(self.base_url)}")

    @property
    def width(self) -> int:
        return parse_size(self.size)[0]

    @property
    def height(self) -> int:
        return parse_size(self.size)[1]

    @staticmethod
    def from_mapping(values: Mapping[str, Any]) -> ImageRequest:
        """A request from parsed JSON. Fields that are null count as left out; unknown fields are errors."""
        known = [f.name for f in fields(ImageRequest)]
        unknown = [str(k) for k in values if k not in known]
        if unknown:
            raise RequestError(f"unknown field {_shown(unknown[0])}; there are {', '.join(known)}")
        if values.get("prompt") is None:
            raise RequestError("prompt is missing")
        return ImageRequest(**{k: v for k, v in values.items() if v is not None})

    @staticmethod
    def from_json(text: str | bytes) -> ImageRequest:
        """A request from JSON text. Raises RequestError: not JSON, not an object, or a wrong field."""
        return ImageRequest.from_mapping(json_object(text))


@dataclass(frozen=True)
class ImageResult:
    """What came back. `width` and `height` in pixels; `rewritten_prompt` and `reasoning` only with prompt_extend."""

    image_url: str
    width: int
    height: int
    prompt: str
    request_id: str
    rewritten_prompt: str | None = None
    reasoning: str | None = None

    def to_json(self) -> str:
        """The normalized response, without fields that are absent."""
        return json.dumps({k: v for k, v in asdict(self).items() if v is not None}, ensure_ascii=False)


def json_object(text: str | bytes) -> dict[str, Any]:
    """Untrusted JSON text as an object. Raises RequestError."""
    try:
        found = json.loads(text)
    except RecursionError as e:
        raise RequestError("the JSON is nested too deeply") from e
    except ValueError as e:
        raise RequestError(f"not JSON: {str(e)[:200]}") from e
    if not isinstance(found, dict):
        raise RequestError(f"the JSON must be an object, not {_shown(found)}")
    return found


def check_prompt(prompt: object, max_chars: int = MAX_PROMPT_CHARS) -> str:
    """A usable prompt. Raises RequestError."""
    if not isinstance(prompt, str):
        raise RequestError(f"prompt must be text, not {_shown(prompt)}")
    if not prompt.strip():
        raise RequestError("prompt is empty")
    if len(prompt) > max_chars:
        raise RequestError(f"prompt has {len(prompt):,} characters; at most {max_chars:,} are allowed")
    for character in prompt:
        # Lone surrogates cannot be encoded; control characters have no place in a prompt or a log.
        if (character < " " and character not in "\n\r\t") or character == "\x7f":
            raise RequestError(f"prompt has the control character U+{ord(character):04X}; remove it")
        if "\ud800" <= character <= "\udfff":
            raise RequestError("prompt has half of a surrogate pair; send well-formed Unicode")
    return prompt


def parse_size(size: object) -> tuple[int, int]:
    """(width, height) in pixels of `W*H`. Raises RequestError."""
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if match is None:
        raise RequestError(f'size {_shown(size)} must be "W*H" in pixels, e.g. "1024*1024"')
    width, height = int(match[1]), int(match[2])
    if not MIN_PIXELS <= width * height <= MAX_PIXELS:
        raise RequestError(
            f"size {width}*{height} has {width * height:,} pixels; 512*512 ({MIN_PIXELS:,}) to "
            f"2048*2048 ({MAX_PIXELS:,}) are allowed"
        )
    return width, height


def check_seed(seed: object) -> int:
    """A usable seed. Raises RequestError."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise RequestError(f"seed must be a whole number, not {_shown(seed)}")
    if not 0 <= seed <= MAX_SEED:
        raise RequestError(f"seed must be 0 to {MAX_SEED}")
    return seed


def _shown(value: object) -> str:
    """An untrusted value as it may appear in a message."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        return ascii(value[:_QUOTED_CHARS])
    try:
        return repr(value)[:_QUOTED_CHARS]
    except ValueError:  # an integer of thousands of digits
        return "a huge number"
