"""Which sample people mean: by its id, the beginning of it, or the name of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.curation.errors import ConfigError
from zcurate.curation.store import SAMPLES, read_sources

from .explaining import show
from .view import View

#: Hex digits that an id is looked up by, at least: fewer would fit many.
_LEAST_DIGITS = 4
#: Samples named when several are meant.
_SHOWN = 6


def named_sample(view: View, name: str) -> bytes:
    """The id of the sample that is called so.

    Args:
        name: 32 hex digits, or the first four or more of them; SOURCE/KEY, as whatif prints it; a key; a path under the source's
            root, with the member of the archive behind it, if any; or the root and such a path, as a shell completes it.

    Raises:
        ConfigError: none is called so, or several; the message has some of their ids.
    """
    text = name.strip()
    if re.fullmatch(r"[0-9a-fA-F]{32}", text):
        return bytes.fromhex(text)
    found: dict[bytes, str] = {}
    for sample_id, label in _called(view, text):
        found.setdefault(sample_id, label)
    if not found:
        raise ConfigError(
            f"{text[:200]!r}: no such sample in {view.dataset.storage.url}; give an id or its first digits, SOURCE/KEY, or the path "
            "of the file; 'zcurate errors', 'whatif' and 'search' print ids"
        )
    if len(found) > 1:
        shown = "".join(f"\n  {i.hex()}  {show(label)}" for i, label in list(found.items())[:_SHOWN])
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ConfigError(
            f"{text[:200]!r}: {len(found)} samples are called so; give the id of one{shown}{more}"
        )
    return next(iter(found))


def _called(view: View, text: str) -> Iterator[tuple[bytes, str]]:
    """Live samples of that name, with SOURCE/KEY."""
    prefix = bytes.fromhex(text[: len(text) // 2 * 2]) if _is_digits(text) else None
    wanted = {text} | {
        text.removeprefix(root + "/")
        for root in (s.root.rstrip("/") for s in read_sources(view.dataset).values())
        if text.startswith(root + "/")
    }
    names = pa.array(sorted(wanted), pa.string())
    columns = ["source", "key", "uri", "member"]
    for _, table in view.tables([f"{SAMPLES}.{c}" for c in columns]):
        source, key, uri, member = (
            pc.fill_null(table.column(f"{SAMPLES}.{c}").cast(pa.string()), "") for c in columns
        )
        inside = pc.binary_join_element_wise(uri, member, "/")
        called = (
            *(key, uri, inside),
            pc.binary_join_element_wise(source, key, "/"),
            pc.binary_join_element_wise(source, uri, "/"),
            pc.binary_join_element_wise(source, inside, "/"),
        )
        hit = np.zeros(table.num_rows, bool)
        for one in called:
            hit |= pc.is_in(one, names).to_numpy()
        if prefix is not None:
            ids = table.column("sample_id").cast(pa.binary())
            for row in np.flatnonzero(pc.starts_with(ids, prefix).to_numpy()):
                hit[row] |= ids[int(row)].as_py().hex().startswith(text.lower())
        for row in np.flatnonzero(hit & table.column("live").to_numpy()):
            yield table.column("sample_id")[int(row)].as_py(), f"{source[int(row)]}/{key[int(row)]}"


def _is_digits(text: str) -> bool:
    return bool(re.fullmatch(rf"[0-9a-fA-F]{{{_LEAST_DIGITS},32}}", text))
