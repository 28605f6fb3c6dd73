"""Where a fetched picture is kept, and what is written beside it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from .dashscope import Generated, price_usd
from .errors import RequestError
from .png_marks import marked

#: Below the base directory, which is `output` unless OUTPUT_DIR names another.
FOLDER = Path("ai-image-zimage-turbo") / "images"
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_MAX_SIDECAR_BYTES = 1 << 20
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def check_output(output: Path | None, environment: Mapping[str, str] = os.environ) -> None:
    """See to it that a picture can be written, before it is paid for. Makes its folder.

    Raises:
        RequestError: `output` is a folder or of a format that is not written here, its sidecar would replace a file that
            is none, or its folder cannot be written to.
    """
    folder = _base(environment) / FOLDER if output is None else output.parent
    if output is not None:
        if output.suffix.lower() not in FORMATS or output.is_dir():
            known = ", ".join(FORMATS)
            raise RequestError(f"output {output}: name a picture's file, e.g. fishing.png; there are {known}")
        sidecar = output.with_suffix(".json")
        if sidecar.exists() and not _is_sidecar(sidecar):
            raise RequestError(f"output {output}: its record would replace {sidecar}; choose another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise RequestError(f"output folder {folder}: {e.strerror}") from e
    if not os.access(folder, os.W_OK):
        raise RequestError(f"output folder {folder}: may not be written to")


def output_path(done: Generated, output: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Where a picture goes: `output`, else OUTPUT_DIR (default `output`) / ai-image-zimage-turbo / images / request id."""
    if output is not None:
        return output
    # The request id comes from the server, so it may not lead anywhere.
    name = _UNSAFE.sub("-", done.result.request_id).strip("-")[:80]
    name = name or hashlib.sha256(done.picture.data).hexdigest()[:16]
    return _base(environment) / FOLDER / f"{name}.png"


def write(done: Generated, path: Path) -> Path:
    """Write a picture and its sidecar `NAME.json` beside it; returns the sidecar's path.

    Pixels are as received, unless `path` is of another format that loses some (.jpg, .webp). What is in the sidecar is in
    the file too, with the mark of model-made pictures. Both files are whole or absent, whatever happens.

    Raises:
        OSError: the disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    found, kind = facts(done), FORMATS[path.suffix.lower()]
    if kind == "PNG" and done.picture.suffix == ".png":
        data = marked(done.picture.data, maker(done), found)
    else:
        from ..image_files import marked_bytes  # it imports torch, which a client seldom needs

        with Image.open(io.BytesIO(done.picture.data)) as image:
            data = marked_bytes(image.convert("RGB"), found | {"software": maker(done)}, kind)
    found |= {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    _replace(path, data)
    sidecar = path.with_suffix(".json")
    _replace(sidecar, (json.dumps(found, ensure_ascii=False, indent=2) + "\n").encode())
    return sidecar


def maker(done: Generated) -> str:
    """Who made a picture, as files say it."""
    return f"{done.model} ({done.region})"


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


def _base(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("OUTPUT_DIR") or "output").expanduser()


def _is_sidecar(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_MAX_SIDECAR_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "received_sha256" in found


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
