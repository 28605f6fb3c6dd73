"""Where a fetched picture is kept, and what is written beside it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from .dashscope import Generated, price_usd
from .errors import RequestError
from .png_marks import marked

#: Below the base directory, which is `output` unless OUTPUT_DIR names another.
FOLDER = Path("ai-image-zimage-turbo") / "images"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def output_path(done: Generated, output: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Where a picture goes: `--output`, else OUTPUT_DIR (default `output`) / ai-image-zimage-turbo / images / request id.

    Raises:
        RequestError: `output` is a folder, or named as a sidecar.
    """
    if output is not None:
        if output.suffix.lower() == ".json" or output.is_dir():
            raise RequestError(f"output {output}: name a picture's file, e.g. fishing.png")
        return output
    base = Path(environment.get("OUTPUT_DIR") or "output").expanduser()
    # The request id comes from the server, so it may not lead anywhere.
    name = _UNSAFE.sub("-", done.result.request_id).strip("-")[:80]
    return (
        base / FOLDER / f"{name or hashlib.sha256(done.picture.data).hexdigest()[:16]}{done.picture.suffix}"
    )


def write(done: Generated, path: Path) -> Path:
    """Write a picture and its sidecar `NAME.json` beside it; returns the sidecar's path.

    The pixels are as received; a PNG file also gets the sidecar's facts inside, and the mark of model-made pictures. Both
    files are whole or absent, whatever happens. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    found, data = facts(done), done.picture.data
    if done.picture.suffix == ".png":
        data = marked(data, f"{done.model} ({done.region})", found)
    found |= {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    _replace(path, data)
    sidecar = path.with_suffix(".json")
    _replace(sidecar, (json.dumps(found, ensure_ascii=False, indent=2) + "\n").encode())
    return sidecar


def facts(done: Generated) -> dict[str, object]:
    """What is kept with a picture: enough to ask for it again, and to know it for model-made. No key is in it."""
    return {
        "received_sha256": hashlib.sha256(done.picture.data).hexdigest(),
        "origin": "model",
        "digitalSourceType": "trainedAlgorithmicMedia",
        "model": done.model,
        "region": done.region,
        "endpoint": done.endpoint,
        "request_id": done.result.request_id,
        "prompt": done.request.prompt,
        "rewritten_prompt": done.result.rewritten_prompt,
        "reasoning": done.result.reasoning,
        "parameters": {
            "size": done.request.size,
            "seed": done.request.seed,
            "prompt_extend": done.request.prompt_extend,
        },
        "width": done.result.width,
        "height": done.result.height,
        # Without its query: it holds a signature.
        "image_url": done.result.image_url.partition("?")[0],
        "list_price_usd": price_usd(done.region, done.request.prompt_extend),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
