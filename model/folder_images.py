"""Pictures made elsewhere, as a generator: the engine `folder:DIR`.

A picture belongs to the prompt that its sidecar JSON of the same name holds (`prompt`, and `seed` if there is
one); without one, to the text of a .txt file of the same name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from .errors import GenerationError
from .generate import Picture
from .request import Request

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass
class FolderImages:
    """Gives out what a folder holds, by prompt and seed. Raises GenerationError for a folder without pictures."""

    folder: Path
    identity: str = ""
    _found: dict[str, list[tuple[int | None, Path, dict]]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self.identity = self.identity or f"folder:{self.folder.name}"
        if not self.folder.is_dir():
            raise GenerationError(f"{self.folder}: no such folder")
        for path in sorted(self.folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                prompt, record = _sidecar(path)
                seed = record.get("seed")
                if prompt is not None:
                    entry = (seed if isinstance(seed, int) else None, path, record)
                    self._found.setdefault(prompt, []).append(entry)
        if not self._found:
            raise GenerationError(
                f'{self.folder}: holds no picture with a prompt; put NAME.json with "prompt" or NAME.txt '
                "beside each NAME.png"
            )

    @property
    def prompts(self) -> list[str]:
        return list(self._found)

    def generate(self, requests: Sequence[Request], batch: int = 1) -> Iterator[Picture]:
        """The picture of each request: that of its seed, else the next of its prompt not yet given out here.

        Raises GenerationError, with the prompt, when there is none left.
        """
        given: set[Path] = set()
        for request in requests:
            left = [e for e in self._found.get(request.prompt, []) if e[1] not in given]
            if not left:
                count = len(self._found.get(request.prompt, []))
                raise GenerationError(
                    f"{self.folder}: {count} pictures of {request.prompt[:80]!r}, and one more was asked for"
                )
            _, path, record = next((e for e in left if e[0] == request.seed), left[0])
            given.add(path)
            try:
                with Image.open(path) as image:
                    picture = image.convert("RGB")
            except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
                raise GenerationError(f"{path}: not a readable picture: {error}") from error
            facts = {"prompt": request.prompt, "model": self.identity, "origin": "model", "file": path.name}
            known = {"seed": request.seed, "software": "made elsewhere"}
            yield Picture(picture, request, known | record | facts)


def _sidecar(path: Path) -> tuple[str | None, dict]:
    """Prompt and facts beside a picture; None without one."""
    sidecar, text = path.with_suffix(".json"), path.with_suffix(".txt")
    if sidecar.is_file():
        try:
            record = json.loads(sidecar.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise GenerationError(f"{sidecar}: cannot be read as JSON: {error}") from error
        if isinstance(record, dict) and isinstance(record.get("prompt"), str):
            return record["prompt"], record
    if text.is_file():
        return text.read_text("utf-8", errors="replace").strip(), {}
    return None, {}
