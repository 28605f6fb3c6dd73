"""`linear:FILE`: a linear head or small MLP on embeddings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import HeadError, VectorError
from .head import HeadInfo
from .torch_file import read_state_dict

#: Most bytes of a head file. LAION's largest is under 4 MB.
MAX_FILE_BYTES = 64 << 20
_MAX_HEADER_BYTES = 1 << 20
_FORMAT = "zcurate.head"
_ACTIVATIONS = ("none", "relu")
_LAION_RANGE = (1.0, 10.0)
#: Largest magnitude of either end of a range: a score is float32, and its distance from an end must be one, too.
_MOST_RANGE = 1e30
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}

#: Weights [out, in] and biases [out] of the layers in order.
Layers = Sequence[tuple[np.ndarray, np.ndarray]]


class LinearHead:
    """A head from a file: zcurate's own safetensors, or LAION's aesthetic predictors as `.pth` or safetensors.

    LAION's are the MLP of `improved-aesthetic-predictor` (`layers.0.weight` ... `layers.7.bias`: linear
    layers without activations between them) and the older single layer (`weight`, `bias`). Nothing in a
    `.pth` file is run; see `torch_file`.

    Args:
        file: path of the head.

    Raises:
        HeadError: by `info`, `load` and `score`: the file is missing, damaged or of another layout.
    """

    def __init__(self, file: str) -> None:
        self.name = f"linear:{file}"
        self._file = Path(file).expanduser()
        self._loaded: tuple[HeadInfo, list[tuple[np.ndarray, np.ndarray]], str] | None = None

    @property
    def info(self) -> HeadInfo:
        return self._read()[0]

    def load(self) -> None:
        self._read()

    def score(self, vectors: np.ndarray) -> np.ndarray:
        info, layers, activation = self._read()
        x = np.asarray(vectors, np.float32)
        if x.ndim != 2 or x.shape[1] != info.dim:
            raise HeadError(f"{self.name} takes vectors [n, {info.dim}], not {list(x.shape)}")
        if not np.isfinite(x).all():
            raise VectorError("the embedding holds NaN or infinity")
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            for i, (weight, bias) in enumerate(layers):
                if i and activation == "relu":
                    x = np.maximum(x, 0)
                x = x @ weight.T + bias
        y = x[:, 0]
        if not np.isfinite(y).all():
            raise HeadError(f"{self.name}: its weights are so large that scores overflow")
        if info.kind == "logistic":
            return probability(y)
        return np.clip(y, *info.range).astype(np.float32)

    def _read(self) -> tuple[HeadInfo, list[tuple[np.ndarray, np.ndarray]], str]:
        if self._loaded is None:
            try:
                self._loaded = _parse(_bytes_of(self._file))
            except HeadError as e:
                raise HeadError(f"{self.name}: {e}") from e
        return self._loaded


def probability(logits: np.ndarray) -> np.ndarray:
    """The logistic function, float32; no overflow for large logits."""
    return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)


def write_head(
    file: Path,
    layers: Layers,
    info: HeadInfo,
    activation: str = "none",
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write a head as safetensors; its description is JSON under the metadata key `zcurate`.

    Args:
        facts: JSON-able notes kept with the head, such as the number of labels.
    """
    from safetensors.numpy import save

    tensors = {}
    for i, (weight, bias) in enumerate(layers):
        tensors[f"layers.{i}.weight"] = np.ascontiguousarray(weight, np.float32)
        tensors[f"layers.{i}.bias"] = np.ascontiguousarray(bias, np.float32)
    about = {
        "format": _FORMAT,
        "version": 1,
        "encoder": info.encoder,
        "dim": info.dim,
        "kind": info.kind,
        "range": list(info.range),
        "activation": activation,
        "facts": dict(facts or {}),
    }
    # one key: safetensors writes several in no fixed order
    file.write_bytes(save(tensors, {"zcurate": json.dumps(about, sort_keys=True)}))


def _bytes_of(file: Path) -> bytes:
    try:
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise HeadError(f"{size:,} bytes; a head has at most {MAX_FILE_BYTES:,}")
        return file.read_bytes()
    except OSError as e:
        raise HeadError(f"cannot be read: {e.strerror}") from e


def _parse(data: bytes) -> tuple[HeadInfo, list[tuple[np.ndarray, np.ndarray]], str]:
    header = _safetensors_header(data)
    if header is None:
        tensors, about = read_state_dict(data), None
    else:
        tensors, about = _safetensors(data), _own_metadata(header)
    layers, layout = _layers(tensors)
    dim = layers[0][0].shape[1]
    if about is None:
        return HeadInfo(dim, "regression", _LAION_RANGE, None, layout), layers, "none"
    if about["dim"] != dim:
        raise HeadError(f"its metadata says dim {about['dim']!r}, its first layer takes {dim}")
    info = HeadInfo(dim, about["kind"], tuple(about["range"]), about["encoder"], "zcurate")
    return info, layers, about["activation"]


def _layers(tensors: Mapping[str, np.ndarray]) -> tuple[list[tuple[np.ndarray, np.ndarray]], str]:
    """Layers in order, and the layout their names show."""
    if set(tensors) == {"weight", "bias"}:
        names, layout = [""], "laion-linear"
    else:
        numbers = sorted(
            {int(m.group(1)) for n in tensors if (m := re.fullmatch(r"layers\.(\d{1,3})\.\w+", n))}
        )
        names, layout = [f"layers.{i}." for i in numbers], "laion-mlp"
    wanted = {f"{n}{part}" for n in names for part in ("weight", "bias")}
    if not names or set(tensors) != wanted:
        odd = sorted(set(tensors) ^ wanted)[:4]
        raise HeadError(
            "unknown layout: a head has layers.N.weight and layers.N.bias, or weight and bias; "
            f"look at {', '.join(o[:40] for o in odd)}"
        )
    if any(t.dtype.kind != "f" for t in tensors.values()):
        raise HeadError("its weights are no floating-point numbers")
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
        layers = [tuple(tensors[f"{n}{p}"].astype(np.float32) for p in ("weight", "bias")) for n in names]
    width = None
    for weight, bias in layers:
        if (
            weight.ndim != 2
            or bias.shape != weight.shape[:1]
            or (width is not None and weight.shape[1] != width)
        ):
            raise HeadError(f"layers do not follow each other: weight {weight.shape}, bias {bias.shape}")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise HeadError("its weights hold NaN or infinity")
        width = weight.shape[0]
    if width != 1 or 0 in layers[0][0].shape:
        raise HeadError(f"the last layer gives {width} numbers; a head gives one")
    return layers, layout


def _safetensors_header(data: bytes) -> dict[str, Any] | None:
    """The JSON header; None where the file is no safetensors."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 10 or data[8:9] != b"{" or length > len(data) - 8:
        return None
    if length > _MAX_HEADER_BYTES:
        raise HeadError(f"a safetensors header of {length:,} bytes")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as e:
        raise HeadError(f"a damaged safetensors header: {e}") from e
    return header if isinstance(header, dict) else None


def _safetensors(data: bytes) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(data)
    except SafetensorError as e:
        raise HeadError(f"damaged safetensors: {e}") from e
    found = {}
    for name, entry in entries:
        dtype = _DTYPES.get(entry["dtype"])
        if dtype is None:
            raise HeadError(
                f"tensor {name[:40]!r} is of type {entry['dtype']}; weights are F32, F16, BF16 or F64"
            )
        flat = np.frombuffer(entry["data"], dtype)
        if entry["dtype"] == "BF16":
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        try:
            found[name] = flat.reshape(entry["shape"])
        except ValueError as e:  # shapes that hold nothing, beyond what NumPy has
            raise HeadError(f"damaged safetensors: tensor {name[:40]!r}: {e}") from e
    return found


def _own_metadata(header: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a file of ours says of itself, checked; None in a file of another origin."""
    text = (header.get("__metadata__") or {}).get("zcurate")
    if text is None:
        return None
    try:
        about = json.loads(text)
        low, high = (float(x) for x in about["range"])
        fine = (
            about["format"] == _FORMAT
            and about["version"] == 1
            and about["kind"] in ("regression", "logistic")
            and about["activation"] in _ACTIVATIONS
            and isinstance(about["encoder"], str | None)
            and isinstance(about["dim"], int)
            and max(abs(low), abs(high)) <= _MOST_RANGE
            and low < high
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as e:
        raise HeadError(f"its metadata cannot be read: {type(e).__name__}: {e}") from e
    if not fine:
        raise HeadError(f"its metadata is not of a head this version reads: {text[:200]}")
    return {**about, "range": [low, high]}
