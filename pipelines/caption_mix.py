"""Which text a sample is trained on: kinds and languages of caption and the original alt text, by share, drawn by hash.

One draw serves the plans of training stages and the exports: a sample's text depends on nothing but its id, the seed
and the kinds it has.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.captioner.schema import LANGUAGES
from zcurate.curation.errors import ConfigError

#: Kinds a mix may name. Kinds that no stage of the recipe writes are passed over. `enhanced` is the enhance stage's
#: prompt, in the language it is in.
ENHANCED = "enhanced"
CAPTION_KINDS = ("long", "medium", "short", "tags", "user_prompts", ENHANCED)
#: Stands for the text that came with the image.
ALT_TEXT = "text"
KINDS = (*(f"{language}_{kind}" for language in LANGUAGES for kind in CAPTION_KINDS), ALT_TEXT)
#: True where captions were made by no model.
PLACEHOLDER = "captions.placeholder"
#: Makes this draw independent of the one that picks samples, which hashes the same ids.
_SALT = 0x51ED2701


def check_mix(mix: Mapping[str, float], where: str) -> None:
    """Raises ConfigError for an unknown kind, a share that is no finite number >= 0, or no share above 0."""
    wrong = sorted(set(mix) - set(KINDS))
    if wrong:
        raise ConfigError(f"{where}: {wrong[0]}; kinds are {', '.join(KINDS)}")
    bad = sorted(k for k, share in mix.items() if not 0 <= share < float("inf"))
    if bad:
        raise ConfigError(f"{where}: {bad[0]}: {mix[bad[0]]}: a share is a number from 0")
    if mix and sum(mix.values()) <= 0:
        raise ConfigError(f"{where}: all shares are 0; kinds are {', '.join(KINDS)}")


def columns_of(kind: str) -> tuple[str, ...]:
    """The qualified columns that tell what text of a kind a row has."""
    if kind == ALT_TEXT:
        return ("samples.text",)
    if kind.endswith(f"_{ENHANCED}"):
        return tuple(f"{ENHANCED}.{c}" for c in ("prompt", "status", "lang"))
    return (f"captions.{kind}",)


def texts_of(kind: str, table: pa.Table) -> pa.ChunkedArray | pa.Array:
    """The texts of a kind, one per row; columns by qualified name. A prompt that was not enhanced is none."""
    columns = columns_of(kind)
    if not kind.endswith(f"_{ENHANCED}"):
        return table[columns[0]]
    prompt, status, language = (table[c] for c in columns)
    mine = pc.and_(pc.equal(status, ENHANCED), pc.equal(language, kind.partition("_")[0]))
    return pc.if_else(pc.fill_null(mine, False), prompt, pa.scalar(None, pa.string()))


def present(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """bool [n]: rows with a text of a kind; an empty list or a text of blanks is none."""
    if pa.types.is_list(column.type):
        length = pc.list_value_length(column)
    else:
        length = pc.utf8_length(pc.utf8_trim_whitespace(column))
    return np.asarray(pc.greater(pc.fill_null(length, 0), 0))


def has_kinds(
    texts: Mapping[str, pa.ChunkedArray | pa.Array | None], placeholder: pa.ChunkedArray | pa.Array | None
) -> np.ndarray:
    """bool [n, kinds]: which kinds each row has.

    Args:
        texts: kind -> its texts, as `texts_of` gives them; None where nothing writes it. At least one is given.
        placeholder: true where captions (and what was made of them) count as absent; None: nowhere.
    """
    n = next(len(t) for t in texts.values() if t is not None)
    left_out = np.zeros(n, bool)
    if placeholder is not None:
        left_out = np.asarray(pc.fill_null(placeholder, False))
    has = np.zeros((n, len(texts)), bool)
    for k, (kind, column) in enumerate(texts.items()):
        if column is not None:
            has[:, k] = present(column) & (~left_out | (kind == ALT_TEXT))
    return has


def draw_kinds(
    mix: Mapping[str, float], has: np.ndarray, ids: pa.Array | pa.ChunkedArray, seed: int
) -> list[str | None]:
    """The kind each sample is trained on. What a sample lacks, its other kinds share; None where it has none.

    Args:
        has: bool [n, kinds] in the order of `mix`.
        ids: fixed_size_binary(16) [n].
    """
    from zcurate.graph.draw import id_halves, uniform

    share = np.array(list(mix.values())) * has
    limits = np.cumsum(share, axis=1)
    total = limits[:, -1] if len(mix) else np.zeros(len(has))
    u = uniform(id_halves(ids), (seed + _SALT) % 2**63)
    kinds = list(mix)
    # The last limit of a row is exactly 1 and u is less, so a kind is found however small the shares are.
    drawn = (u[:, None] >= limits / np.where(total > 0, total, 1)[:, None]).sum(axis=1)
    return [kinds[k] if t > 0 else None for k, t in zip(drawn.tolist(), total.tolist(), strict=True)]
