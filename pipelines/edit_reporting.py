"""`zcurate edits-report`: the page of a dataset's pairs, its funnel and samples side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .edit_funnel import PairFunnel, Shown, funnel_of_pairs, survey
from .edit_tables import PairSet, joined_mask, pair_sets
from .report.edits import EditCard, EditPage, render_edits

__all__ = ["PairFunnel", "funnel_of_pairs", "write_edit_report"]


def write_edit_report(url: str, out: Path, samples: int = 2) -> Path:
    """Write the page.

    Args:
        samples: accepted pairs shown per task, and others at most as many.

    Raises:
        DatasetError: the dataset has no pairs.
    """
    sets = pair_sets(url)
    funnel, shown = survey(sets, samples)
    cards = _cards(sets, [s for pairs in shown.values() for s in pairs])
    galleries = tuple(
        (task, tuple(cards[s.pair_id] for s in pairs if s.pair_id in cards))
        for task, pairs in _ordered(funnel, shown)
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(render_edits(EditPage(url, funnel, galleries)), encoding="utf-8")
    return out


def _ordered(funnel: PairFunnel, shown: dict[str, list[Shown]]) -> list[tuple[str, list[Shown]]]:
    return [(task, shown[task]) for task, _ in funnel.lines() if shown.get(task)]


def _cards(sets: list[PairSet], wanted: list[Shown]) -> dict[str, EditCard]:
    """Pairs with their pictures, shard by shard."""
    places: dict[tuple[int, str], set[str]] = {}
    for one in wanted:
        places.setdefault((one.set_at, one.shard), set()).add(one.pair_id)
    found: dict[str, EditCard] = {}
    for (at, shard), ids in sorted(places.items()):
        made = sets[at]
        versions, reader = made.versions(shard, ["mask"]), made.reader(shard)
        for pair in made.pairs(shard):
            if pair["pair_id"] in ids:
                found[pair["pair_id"]] = _card(pair, joined_mask(pair, versions), reader)
    return found


def _card(pair: dict[str, Any], mask: bytes | None, reader: Any) -> EditCard:
    return EditCard(
        id=pair["pair_id"],
        kind=pair["kind"],
        types=tuple(pair["types"]),
        verdict=pair["verdict"],
        reasons=tuple(pair["reasons"] or ()),
        texts=tuple((pair[n] or "") for n in ("en_short", "en_long", "zh_short", "zh_long")),
        sources=tuple(reader.read(k) for k in pair["source_keys"]),
        target=reader.read(pair["target_key"]),
        mask=mask,
        target_is_real=bool(pair["target_is_real"]),
        changed_share=pair["changed_share"],
    )
