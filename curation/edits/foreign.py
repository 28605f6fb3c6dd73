"""Experts that make pictures elsewhere: a folder of finished edits, a server, a diffusion pipeline.

What they hand in is a version: a value of the slot `image/0` = {version, type, instruction}, whose pixels lie in the
scene's assets. Such a version is exact as a picture, but what was done is only what the expert says; the checks decide
whether it may be believed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from .encoding import encode_mask, encode_png
from .experts import Fit, NoProposalError, Proposal
from .scene import Scene
from .spec import State, between
from .taxonomy import TASKS

#: Longest answer of an HTTP expert read, bytes.
MAX_ANSWER_BYTES = 64 << 20
MAX_INSTRUCTION_CHARS = 600


class ForeignError(ValueError):
    """An expert cannot be used or answered with nonsense; the message names it and the fix."""


@dataclass(frozen=True)
class Order:
    """What a foreign expert is asked for. `prompt`: how a model is told; `instruction`: how the pair says it."""

    type: str
    instruction: Mapping[str, str]
    prompt: str = ""
    mask: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.type not in TASKS:
            raise ForeignError(f"no task {self.type!r} in the taxonomy")
        for language in ("en", "zh"):
            text = self.instruction.get(language)
            if not isinstance(text, str) or not 0 < len(text.strip()) <= MAX_INSTRUCTION_CHARS:
                raise ForeignError(
                    f"instruction.{language} of a {self.type} must be 1 to {MAX_INSTRUCTION_CHARS} characters"
                )


@dataclass(frozen=True)
class Edited:
    """What came back: (H, W, 3) uint8 of the source's size, and where it may differ (None: anywhere)."""

    rgb: np.ndarray
    mask: np.ndarray | None = None


class ForeignExpert(Protocol):
    """`edit` turns a picture into another. `identity` is what its output depends on, for fingerprints."""

    name: str
    identity: str

    def orders(self, scene: Scene) -> Sequence[Order]:
        """What may be asked for this picture; empty for nothing."""

    def edit(self, rgb: np.ndarray, order: Order, seed: int) -> Edited:
        """Raises ForeignError."""


@dataclass(frozen=True)
class Foreign:
    """A foreign expert as an `Expert`: its version becomes part of the scene's assets."""

    expert: ForeignExpert
    version: int = 1
    needs_weights: bool = True

    @property
    def name(self) -> str:
        return self.expert.name

    @property
    def types(self) -> tuple[str, ...]:
        return ("foreign.edit",)

    def propose(self, scene: Scene, state: State, rng: np.random.Generator) -> Proposal:
        """Raises NoProposalError: nothing to ask for, or an edit that failed or left nothing changed."""
        if state:
            raise NoProposalError("foreign experts edit the real picture")
        orders = self.expert.orders(scene)
        if not orders:
            raise NoProposalError(f"{self.name}: nothing for this picture")
        order = orders[int(rng.integers(len(orders)))]
        try:
            edited = fitted(self.expert.edit(scene.base, order, int(rng.integers(2**31))), scene)
        except ForeignError as e:
            raise NoProposalError(f"{self.name}: {e}") from e
        if np.array_equal(edited.rgb, scene.base):
            raise NoProposalError(f"{self.name}: unchanged")
        key = hashlib.sha256(edited.rgb.tobytes()).hexdigest()[:16]
        scene.assets[f"image:{key}"] = edited
        value = {"version": key, "type": order.type, "instruction": dict(order.instruction)}
        return Proposal(between(state, {**state, "image/0": value}))


def fitted(edited: Edited, scene: Scene) -> Edited:
    """What came back, at the size of the scene: as it is, or from the source's own size in the way the source took.

    Anything else is refused: a resampled target is a shifted target.

    Raises:
        ForeignError: naming both sizes.
    """
    rgb = np.asarray(edited.rgb)
    fit: Fit | None = scene.assets.get("fit")
    if fit is not None and rgb.shape == (*fit.shape, 3) and rgb.shape != scene.base.shape:
        mask = edited.mask
        if mask is not None and mask.shape == fit.shape:
            mask = fit.apply(np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2))[..., 0] > 0
        edited = Edited(fit.apply(rgb), mask)
        rgb = edited.rgb
    if rgb.shape != scene.base.shape or rgb.dtype != np.uint8:
        raise ForeignError(
            f"gave {rgb.shape} {rgb.dtype} for a source of {scene.base.shape} uint8; edit at the source's own size"
        )
    if edited.mask is not None and edited.mask.shape != scene.base.shape[:2]:
        raise ForeignError(f"gave a mask of {edited.mask.shape} for a picture of {scene.base.shape[:2]}")
    return edited


@dataclass(frozen=True)
class FolderExpert:
    """Edits made elsewhere, on disk: `DIR/edits.jsonl`, one object per edit.

    `{"source": name, "target": file, "type": id, "instruction": {"en", "zh"}, "mask": file?}`; files lie below DIR.
    `source` is the picture's key in the dataset (its path in its folder), the sha256 of its file, or its sample id.
    """

    folder: Path
    entries: Mapping[str, tuple[tuple[Order, Path], ...]] = field(default_factory=dict)
    name: str = "folder"
    identity: str = ""

    @staticmethod
    def open(folder: str | Path, name: str = "folder") -> FolderExpert:
        """Raises ForeignError naming the line at fault."""
        root = Path(folder).expanduser().resolve()
        listing = root / "edits.jsonl"
        if not listing.is_file():
            raise ForeignError(
                f"{root} has no edits.jsonl; write one line per edit (source, target, type, instruction)"
            )
        entries: dict[str, list[tuple[Order, Path]]] = {}
        digest = hashlib.sha256()
        for number, line in enumerate(listing.read_text("utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
                target = _below(root, found["target"])
                mask = _below(root, found["mask"]) if found.get("mask") else None
                order = Order(found["type"], found["instruction"], mask=None if mask is None else _mask(mask))
                digest.update(line.encode() + hashlib.sha256(target.read_bytes()).digest())
            except (KeyError, TypeError, ValueError, OSError) as e:
                raise ForeignError(f"{listing}, line {number}: {e}") from e
            entries.setdefault(str(found["source"]), []).append((order, target))
        return FolderExpert(
            root, {k: tuple(v) for k, v in entries.items()}, name, f"folder:sha256:{digest.hexdigest()}"
        )

    def orders(self, scene: Scene) -> Sequence[Order]:
        keys = scene.assets.get("keys", (scene.key,))
        return [order for key in keys for order, _ in self.entries.get(key, ())]

    def edit(self, rgb: np.ndarray, order: Order, seed: int) -> Edited:
        for entries in self.entries.values():
            for known, path in entries:
                if known is order:
                    return Edited(_picture(path.read_bytes(), str(path)), order.mask)
        raise ForeignError("an order of another folder")


@dataclass(frozen=True)
class HttpExpert:
    """A server that edits: POST `{image, instruction, type, seed, mask?}` (PNG in base64), answer `{image}`.

    Attributes:
        url: of the endpoint, http or https. Named by the user, so private addresses are allowed.
        asks: what it may be asked for, the same for every picture.
        model: name and revision of what answers; unverified.
    """

    url: str
    asks: tuple[Order, ...]
    model: str
    timeout_s: float = 120.0
    name: str = "http"

    @property
    def identity(self) -> str:
        return f"http:{self.url}#{self.model} (unverified)"

    def orders(self, scene: Scene) -> Sequence[Order]:
        return self.asks

    def edit(self, rgb: np.ndarray, order: Order, seed: int) -> Edited:
        import httpx

        body: dict[str, Any] = {
            "image": base64.b64encode(encode_png(rgb)).decode(),
            "instruction": order.prompt or order.instruction["en"],
            "type": order.type,
            "seed": seed,
        }
        if order.mask is not None:
            body["mask"] = base64.b64encode(encode_mask(order.mask)).decode()
        try:
            with httpx.stream("POST", self.url, json=body, timeout=self.timeout_s) as answer:
                if answer.status_code != 200:
                    raise ForeignError(f"{self.url} answered {answer.status_code}")
                data = bytearray()
                for piece in answer.iter_bytes():
                    data += piece
                    if len(data) > MAX_ANSWER_BYTES:
                        raise ForeignError(f"{self.url} answered more than {MAX_ANSWER_BYTES} bytes")
            image = base64.b64decode(json.loads(bytes(data))["image"], validate=True)
        except (httpx.HTTPError, KeyError, TypeError, ValueError) as e:
            if isinstance(e, ForeignError):
                raise
            raise ForeignError(f"{self.url}: {type(e).__name__}: {e}") from e
        return Edited(_picture(image, self.url), order.mask)


@dataclass
class DiffusersExpert:
    """A diffusers pipeline that edits by instruction (or paints into a mask), loaded by its folder or hub id.

    Only safetensors are loaded. `steps` and `guidance` are the pipeline's own arguments.
    """

    model: str
    asks: tuple[Order, ...]
    identity: str
    steps: int = 20
    guidance: float = 4.0
    device: str = "cpu"
    name: str = "diffusers"
    _pipeline: Any = None

    def orders(self, scene: Scene) -> Sequence[Order]:
        return self.asks

    def edit(self, rgb: np.ndarray, order: Order, seed: int) -> Edited:
        import torch
        from PIL import Image

        pipeline = self._load()
        height, width = rgb.shape[:2]
        arguments: dict[str, Any] = {
            "prompt": order.prompt or order.instruction["en"],
            "image": Image.fromarray(rgb),
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "generator": torch.Generator("cpu").manual_seed(seed),
        }
        if order.mask is not None:
            arguments |= {"mask_image": Image.fromarray(order.mask), "height": height, "width": width}
        try:
            found = np.asarray(pipeline(**arguments).images[0].convert("RGB"))
        except (RuntimeError, TypeError, ValueError) as e:
            raise ForeignError(f"{self.model}: {type(e).__name__}: {str(e)[:200]}") from e
        if order.mask is not None and found.shape == rgb.shape:
            # Latents do not keep pixels out of the mask; the source's own are put back.
            soft = (
                cv2.GaussianBlur(order.mask.astype(np.float32), (0, 0), 2)[..., None] * order.mask[..., None]
            )
            found = np.rint(rgb + (found.astype(np.float32) - rgb) * soft).astype(np.uint8)
        return Edited(found, order.mask)

    def _load(self) -> Any:
        if self._pipeline is None:
            try:
                from diffusers import DiffusionPipeline
            except ModuleNotFoundError as e:
                raise ForeignError("a diffusers expert needs diffusers: pip install diffusers") from e
            pipeline = DiffusionPipeline.from_pretrained(self.model, use_safetensors=True)
            pipeline.set_progress_bar_config(disable=True)
            self._pipeline = pipeline.to(self.device)
        return self._pipeline


def _below(root: Path, name: object) -> Path:
    path = (root / str(name)).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"{name!r} lies outside of {root}")
    return path


def _picture(data: bytes, where: str) -> np.ndarray:
    """(H, W, 3) uint8 of an untrusted picture."""
    from ..errors import SampleError
    from ..profile.decode import decode

    try:
        return decode(data).rgb
    except SampleError as e:
        raise ForeignError(f"{where}: {e}") from e


def _mask(path: Path) -> np.ndarray:
    return _picture(path.read_bytes(), str(path)).max(axis=2) > 127
