"""Generated pictures as files: what made them, inside and beside, and marked as made by a model.

Three marks, since programs strip different ones: IPTC's digital source type `trainedAlgorithmicMedia` (XMP),
the program's name (PNG text, Exif), and prompt with settings as JSON (PNG text, Exif user comment).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .errors import GenerationError
from .flow import sigmas

if TYPE_CHECKING:
    from .generate import Generator
    from .request import Request

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
#: Exif tags.
SOFTWARE, EXIF_IFD, USER_COMMENT = 0x0131, 0x8769, 0x9286

XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<xmp:CreatorTool>{tool}</xmp:CreatorTool>
<Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def software() -> str:
    """Name of this program and the kind of its model, as files carry it."""
    try:
        own = version("zcurate")
    except PackageNotFoundError:
        own = "dev"
    return f"zcurate {own} (S3-DiT, Z-Image architecture)"


def record_of(request: Request, generator: Generator, times: tuple[float, ...], forwards: int) -> dict:
    """Everything that is needed to draw a picture again, as plain values. No path of this machine is in it."""
    settings, pipeline = request.settings, generator.pipeline
    record = {
        "prompt": request.prompt,
        "negative_prompt": request.negative,
        "seed": request.seed,
        "width": request.canvas[0],
        "height": request.canvas[1],
        "steps": settings.steps,
        "guidance_scale": settings.guidance,
        "cfg_normalization": settings.cfg_normalization,
        "cfg_truncation": settings.cfg_truncation,
        "sampler": settings.sampler,
        "sigmas": [round(s, 6) for s in sigmas(times)],
        "forwards": forwards,
        "model": generator.identity,
        "model_trained": pipeline.trained,
        "dtype": str(generator.dtype).removeprefix("torch."),
        "quantize": generator.runtime.quantize,
        "quantize_form": generator.quantized_form,
        "software": software(),
        "digital_source_type": SOURCE_TYPE,
        "origin": "model",
    }
    if settings.sampler == "sde":
        record["sde_noise"] = settings.sde_noise
    if request.references:
        record["references_sha256"] = [pixels_digest(image) for image in request.references]
    if request.start is not None:
        record["start_sha256"] = pixels_digest(request.start.image)
        record["strength"] = request.start.strength
        record["masked"] = request.start.mask is not None
    return record | request.tags


def pixels_digest(image: Image.Image) -> str:
    """sha256 of a picture's size and RGB pixels."""
    return hashlib.sha256(str(image.size).encode() + image.convert("RGB").tobytes()).hexdigest()


def file_name(record: dict) -> str:
    """A readable name without suffix: the first words of the prompt and the seed."""
    words = re.sub(r"[^\w]+", "-", record["prompt"].lower()).strip("-_")[:40].rstrip("-_")
    return f"{words or 'picture'}-{record['seed']}"


def check_suffix(suffix: str) -> None:
    """Raise GenerationError unless pictures can be written with this suffix."""
    if suffix.lower() not in FORMATS:
        raise GenerationError(f"suffix {suffix!r}: pictures are written as {', '.join(FORMATS)}")


def save_picture(
    image: Image.Image, record: dict, folder: Path | str, name: str | None = None, suffix: str = ".png"
) -> Path:
    """Write image and sidecar JSON; existing files are never overwritten: a number is added.

    suffix: .png, .jpg or .webp. Raises GenerationError for another.
    """
    check_suffix(suffix)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stem = name or file_name(record)
    path, number = folder / f"{stem}{suffix}", 1
    while path.exists() or path.with_suffix(".json").exists():
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    part = folder / f".{path.name}.part"
    data = marked_bytes(image, record, FORMATS[suffix.lower()])
    part.write_bytes(data)
    sidecar = record | {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(sidecar, ensure_ascii=False, indent=2) + "\n", "utf-8")
    os.replace(part, path)
    return path


def marked_bytes(image: Image.Image, record: dict, kind: str = "PNG") -> bytes:
    """The image file with its marks. kind: PNG, JPEG or WEBP."""
    text = json.dumps(record, ensure_ascii=False)
    tool = record["software"]
    xmp = XMP.format(tool=escape(tool), source=SOURCE_TYPE)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[SOFTWARE] = tool
    # The eight bytes name the encoding (Exif 2.32, user comment); JSON escapes make it plain ASCII.
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = b"ASCII\0\0\0" + json.dumps(record).encode("ascii")
    if kind == "PNG":
        info = PngInfo()
        info.add_text("Software", tool)
        info.add_itxt("zcurate", text)
        info.add_itxt("XML:com.adobe.xmp", xmp)
        image.save(file, kind, pnginfo=info)
    else:
        lossy = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"quality": 95}
        image.save(file, kind, exif=exif, xmp=xmp.encode("utf-8"), **lossy)
    return file.getvalue()
