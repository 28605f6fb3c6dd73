"""The command `render-text`: pictures, and pairs of pictures, from specs of rendered text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zcurate.curation.errors import ConfigError, SampleError

from .options import AsJson

if TYPE_CHECKING:
    import numpy as np

    from zcurate.curation.edits.text.lettering import Lettering
    from zcurate.curation.edits.text.rendering import Rendering


def register(app: typer.Typer) -> None:
    app.command(name="render-text", rich_help_panel="Make")(render_text)


def render_text(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="JSON file: a spec or a list of them; .jsonl: one a line.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for pictures and records.jsonl.")],
    n: Annotated[
        int, typer.Option("--n", min=1, help="Pictures per spec, by seeds that follow each other.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of everything the spec leaves open.")] = 0,
    photo: Annotated[
        Path | None, typer.Option(help="Photograph to write on where a spec names neither photo nor canvas.")
    ] = None,
    fonts: Annotated[
        list[Path] | None,
        typer.Option("--fonts", help="Folder of fonts; default: installed packages'. Repeatable."),
    ] = None,
    system_fonts: Annotated[
        bool, typer.Option("--system-fonts/--no-system-fonts", help="The fonts fontconfig lists, too.")
    ] = True,
    texts: Annotated[Path | None, typer.Option(help="UTF-8 file of texts to draw from, one a line.")] = None,
    read_back: Annotated[bool, typer.Option("--read-back", help="Read every text back by OCR.")] = False,
    as_json: AsJson = False,
) -> None:
    """Render text by spec: what a spec leaves out is drawn by seed; its `edit` makes a second side and a mask.

    What cannot be drawn is listed in rejected.jsonl with its reason.

    Example: `zcurate render-text spec.json --out rendered --n 5`
    """
    from zcurate.curation.edits.text.faults import TextError
    from zcurate.curation.edits.text.rendering import render

    specs = _specs(spec)
    lettering = _lettering(fonts or [], system_fonts, texts, read_back)
    out.mkdir(parents=True, exist_ok=True)
    made, rejected = [], []
    for number, wanted in enumerate(specs):
        for shift in range(n):
            told = {"spec": number, "seed": seed + shift}
            try:
                picture = _photo(wanted, spec.parent, photo)
                done = render(wanted, lettering, seed + shift, picture)
            except SampleError as e:
                rejected.append({**told, "error_class": type(e).__name__, "error": str(e)})
                continue
            made.append({**told, **_written(out, f"{number:05d}-{seed + shift:05d}", done)})
    for name, rows in (("records.jsonl", made), ("rejected.jsonl", rejected)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / name).write_text(text, "utf-8")
    if as_json:
        print(json.dumps({"made": len(made), "rejected": len(rejected), "out": str(out)}))
    else:
        print(f"{len(made)} made, {len(rejected)} rejected: {out}")
        for row in rejected[:5]:
            print(f"  spec {row['spec']}, seed {row['seed']}: {row['error_class']}: {row['error']}")
    if rejected and not made:
        raise TextError(f"nothing could be drawn; the reasons are in {out / 'rejected.jsonl'}")


def _specs(path: Path) -> list[Mapping[str, Any]]:
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix == ".jsonl":
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            whole = json.loads(text)
            found = whole if isinstance(whole, list) else [whole]
    except (OSError, ValueError, RecursionError) as e:
        raise ConfigError(f"spec {str(path)!r} cannot be read as UTF-8 JSON: {e}") from e
    if not found or not all(isinstance(s, dict) for s in found):
        raise ConfigError(f"spec {str(path)!r} holds no specs: an object, or a list of objects")
    return found


def _lettering(fonts: list[Path], system_fonts: bool, texts: Path | None, read_back: bool) -> Lettering:
    from zcurate.curation.edits.text.faults import TextError
    from zcurate.curation.edits.text.fonts import find_fonts
    from zcurate.curation.edits.text.kit import Kit
    from zcurate.curation.edits.text.lettering import Lettering
    from zcurate.curation.edits.text.phrase_lists import bundled, read_phrases

    reader = None
    if read_back:
        from zcurate.captioner.ocr.rapid import RapidOcr

        reader = RapidOcr()
        reader.load()
    try:
        kit = Kit(find_fonts(fonts, system_fonts and not fonts), read_phrases(texts) if texts else bundled())
    except TextError as e:
        raise ConfigError(str(e)) from e
    return Lettering(kit, reader=reader)


def _photo(spec: Mapping[str, Any], folder: Path, other: Path | None) -> np.ndarray | None:
    """The photograph of a spec, its sides multiples of the model's grid; None for a canvas."""
    from zcurate.curation.edits.scene import on_grid
    from zcurate.curation.edits.text.canvases import MIN_SIDE_PX
    from zcurate.curation.edits.text.faults import PictureTooSmallError, TextSpecError
    from zcurate.curation.profile.decode import decode

    named = spec.get("photo")
    if named is not None and not isinstance(named, str):
        raise TextSpecError(f"photo = {named!r}; a path, relative to the spec's folder")
    path = folder / named if named is not None else None if "canvas" in spec else other
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError as e:
        raise TextSpecError(f"photo {str(path)!r} cannot be read: {e.strerror}") from e
    rgb = decode(data).rgb
    if min(rgb.shape[:2]) < MIN_SIDE_PX:
        raise PictureTooSmallError(
            f"photo {str(path)!r}: {rgb.shape[1]} x {rgb.shape[0]} px; at least {MIN_SIDE_PX} px a side"
        )
    return on_grid(rgb)


def _written(out: Path, name: str, done: Rendering) -> dict[str, Any]:
    """Write the pictures of one rendering; its record."""
    files = dict(_files(name, done))
    for file, data in files.values():
        (out / file).write_bytes(data)
    record: dict[str, Any] = {kind: file for kind, (file, _) in files.items()}
    record |= {"height_px": done.rgb.shape[0], "width_px": done.rgb.shape[1], "state": dict(done.state)}
    record["boxes"] = {k: [round(float(v), 1) for v in box] for k, box in done.boxes.items()}
    record["lines"] = {k: list(lines) for k, lines in done.lines.items()}
    record["read_back"] = {k: round(v, 4) for k, v in done.read.items()}
    if done.change is not None:
        record["edit"] = {
            "spec": json.loads(done.change.spec.to_json()),
            "types": list(done.change.types),
            "instructions": dict(done.change.instructions),
            "verdict": done.change.verdict.status,
            "reasons": list(done.change.verdict.reasons),
            "changed_share": round(done.change.measures.changed_share, 6),
            "outside_psnr_db": done.change.measures.outside_psnr_db,
            "read_back": {k: round(v, 4) for k, v in done.change.read.items()},
        }
    return record


def _files(name: str, done: Rendering) -> Iterator[tuple[str, tuple[str, bytes]]]:
    from zcurate.curation.edits.encoding import encode_mask, encode_png

    yield "source", (f"{name}.png", encode_png(done.rgb))
    if done.change is not None:
        yield "target", (f"{name}-target.png", encode_png(done.change.rgb))
        yield "mask", (f"{name}-mask.png", encode_mask(done.change.mask))
