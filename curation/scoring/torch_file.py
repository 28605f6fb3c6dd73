"""Tensors of a `.pth` file, without running anything in it.

`torch.save` writes a program for Python's object loader, which may call any function. Here the program
is only disassembled (`pickletools`); the few operations that a dict of tensors needs are carried out on
plain data, and everything else is refused. Read are the zip format (torch 1.6 and newer) and the stream
format before it.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import HeadError

_MAGIC, _STREAM_VERSION = 0x1950A86A20F9469CFC6C, 1001
_MAX_OPERATIONS = 100_000
_MAX_ENTRIES = 1_000
_MAX_DIMS = 8
#: Most numbers along one axis of a tensor: before anything is multiplied, so that no product takes long.
_MAX_NUMBERS = 1 << 40
#: Bytes of tensors per byte of file at most: half precision is doubled, some tensors share theirs.
_MOST_GROWTH = 16

_STORAGES = {
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch HalfStorage": "<f2",
    "torch BFloat16Storage": "bf16",
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
}
_ORDERED_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_GLOBALS = {*_STORAGES, _ORDERED_DICT, _TENSOR, _PARAMETER}


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Storage:
    dtype: str
    key: str
    count: int

    @property
    def item_bytes(self) -> int:
        return 2 if self.dtype == "bf16" else np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(data: bytes) -> dict[str, np.ndarray]:
    """Tensors by name; bfloat16 comes as float32. A dict under `state_dict` is taken out of its wrapper.

    Raises:
        HeadError: not a file of `torch.save`, damaged, or holding more than tensors.
    """
    try:
        value, storage_bytes = _read_zip(data) if data[:4] == b"PK\x03\x04" else _read_stream(data)
        if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
            value = value["state_dict"]
        if not isinstance(value, dict) or not value:
            raise HeadError("holds no dict of tensors; save model.state_dict()")
        _check_size(value, len(data))
        return {name: _array(tensor, storage_bytes) for name, tensor in value.items()}
    except (RecursionError, MemoryError) as e:
        raise HeadError(f"nested too deeply, or too large ({type(e).__name__}); refused") from e
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as e:
        raise HeadError(f"damaged, or not a file of torch.save ({type(e).__name__}: {str(e)[:200]})") from e


def _check_size(tensors: dict[str, Any], file_bytes: int) -> None:
    """Many tensors may share one storage, and each is copied."""
    total = sum(math.prod(t.shape) * 4 for t in tensors.values() if isinstance(t, _Tensor))
    if total > _MOST_GROWTH * file_bytes:
        raise HeadError(f"{total:,} bytes of tensors in a file of {file_bytes:,}; refused")


def _read_zip(data: bytes) -> tuple[Any, Callable[[_Storage], bytes]]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = {i.filename: i for i in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError) as e:
        raise HeadError(f"a damaged zip archive: {e}") from e
    programs = [n for n in entries if n.endswith("/data.pkl")]
    if len(programs) != 1 or len(entries) > _MAX_ENTRIES:
        raise HeadError("a zip archive, but not one that torch.save wrote")
    root = programs[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries:
        raise HeadError("a TorchScript program; save model.state_dict() instead")

    def member(name: str) -> bytes:
        entry = entries.get(name)
        if entry is None:
            raise HeadError(f"damaged: no {name} in the archive")
        # torch stores without compression, so that nothing here can unpack to more than the file
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
            raise HeadError(f"{name} is compressed; torch.save never does that")
        try:
            return archive.read(entry)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as e:
            raise HeadError(f"damaged: {name}: {e}") from e

    if f"{root}byteorder" in entries and member(f"{root}byteorder").strip() != b"little":
        raise HeadError("written on a big-endian machine; convert it to safetensors")
    return _run(io.BytesIO(member(programs[0]))), lambda s: member(f"{root}data/{s.key}")


def _read_stream(data: bytes) -> tuple[Any, Callable[[_Storage], bytes]]:
    stream = io.BytesIO(data)
    if _run(stream) != _MAGIC or _run(stream) != _STREAM_VERSION:
        raise HeadError("not a file of torch.save")
    system = _run(stream)
    if not system.get("little_endian", True):
        raise HeadError("written on a big-endian machine; convert it to safetensors")
    value = _run(stream)
    sizes = {s.key: s.item_bytes for s in _storages(value)}
    found = {}
    for key in _run(stream):
        count = int.from_bytes(stream.read(8), "little")
        if not isinstance(key, str) or key not in sizes or count * sizes[key] > len(data):
            raise HeadError(f"damaged: storage {_named(key)}")
        found[key] = stream.read(count * sizes[key])
    return value, lambda s: found[s.key]


def _storages(value: Any) -> list[_Storage]:
    inner = value.get("state_dict", value)
    return [t.storage for t in inner.values() if isinstance(t, _Tensor)]


def _array(tensor: Any, storage_bytes: Callable[[_Storage], bytes]) -> np.ndarray:
    if not isinstance(tensor, _Tensor):
        raise HeadError("holds more than tensors; save model.state_dict()")
    s = tensor.storage
    raw = storage_bytes(s)
    if len(raw) < s.count * s.item_bytes:
        raise HeadError(f"truncated: storage {s.key[:40]!r} has {len(raw)} bytes")
    flat = np.frombuffer(raw, "<u2" if s.dtype == "bf16" else s.dtype, s.count)
    if s.dtype == "bf16":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    reach = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if math.prod(tensor.shape) > s.count:
        raise HeadError(f"damaged: a tensor of shape {tensor.shape} over {s.count} numbers")
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, flat.dtype)
    if reach >= s.count:
        raise HeadError(f"damaged: a tensor of shape {tensor.shape} reaches past its storage")
    steps = [step * flat.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps).copy()


def _run(stream: io.BytesIO) -> Any:
    """The value of one program; the stream is left behind its end."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for count, (op, arg, _) in enumerate(pickletools.genops(stream)):
        name = op.name
        if count > _MAX_OPERATIONS:
            raise HeadError(f"more than {_MAX_OPERATIONS} operations; a head needs a few hundred")
        if name == "STOP":
            return stack[-1]
        if name in _PUSHED:
            stack.append(arg)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else arg] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[arg])
        elif name in ("TUPLE", "LIST"):
            items = since_mark()
            stack.append(tuple(items) if name == "TUPLE" else items)
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            size = int(name[-1])
            stack[-size:] = [tuple(stack[-size:])]
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else since_mark()
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else since_mark()
            _set_items(stack[-1], items)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(_global(arg if name == "GLOBAL" else " ".join([stack.pop(-2), stack.pop()])))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_call(stack.pop(), arguments))
        elif name == "BUILD":
            stack.pop()  # attributes of the dict, such as the versions of its modules
        elif name not in ("PROTO", "FRAME"):
            raise HeadError(f"holds more than tensors (operation {name}); refused")
    raise HeadError("truncated")


_PUSHED = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}


def _named(value: Any) -> str:
    """What to call a value in an error. Containers are not written out: within each other they grow without bounds."""
    if isinstance(value, _Global):
        return value.name[:80]
    return repr(value[:40]) if isinstance(value, str) else type(value).__name__


def _set_items(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict) or not all(isinstance(k, str) for k in items[::2]):
        raise HeadError("holds more than a dict of tensors; save model.state_dict()")
    target.update(zip(items[::2], items[1::2], strict=True))


def _global(name: str) -> _Global:
    if name not in _GLOBALS:
        raise HeadError(f"holds more than tensors ({name[:80]!r}); refused, nothing of it was run")
    return _Global(name)


def _storage(value: Any) -> _Storage:
    tag, kind, key, _, count, *_ = value
    if tag != "storage" or kind.name not in _STORAGES or not isinstance(key, str) or not count >= 0:
        raise HeadError(f"a storage of unknown kind {_named(kind)}")
    return _Storage(_STORAGES[kind.name], key, int(count))


def _call(function: Any, arguments: tuple) -> Any:
    if function == _Global(_ORDERED_DICT) and not arguments:
        return {}
    if function == _Global(_PARAMETER) and isinstance(arguments[0], _Tensor):
        return arguments[0]
    if function == _Global(_TENSOR) and isinstance(arguments[0], _Storage):
        storage, offset, shape, strides, *_ = arguments
        if len(shape) > _MAX_DIMS or len(strides) != len(shape):
            raise HeadError(f"damaged: a tensor of {len(shape)} dimensions and {len(strides)} strides")
        numbers = [int(n) for n in (offset, *shape, *strides)]
        if not all(0 <= n <= _MAX_NUMBERS for n in numbers):
            raise HeadError("damaged: a tensor whose offset, shape or strides are out of range")
        dims = len(shape)
        return _Tensor(storage, numbers[0], tuple(numbers[1 : 1 + dims]), tuple(numbers[1 + dims :]))
    raise HeadError(f"holds more than tensors (a call of {_named(function)}); refused")
