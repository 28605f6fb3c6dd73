"""Difference captions of pairs that the edits stage made: what their table says, both ways."""

from zcurate.captioner.difference import KINDS
from zcurate.pipelines.edit_tables import pair_sets
from zcurate.pipelines.pair_captions import exact_captions

from .test_edits import build, sources  # noqa: F401 - a fixture


def test_pairs_are_told_as_they_were_made(zcurate, sources):  # noqa: F811
    build(zcurate, sources, "ds", "--engine", "inline", versions=3)
    root = sources / "ds"
    rows = {r["pair_id"]: r for made in pair_sets(str(root)) for s in made.shards() for r in made.pairs(s)}
    by_ends = {(r["source_keys"][0], r["target_key"]): r for r in rows.values()}
    told = dict(exact_captions(str(root)))
    assert told.keys() == {i for i, r in rows.items() if len(r["source_keys"]) == 1}
    assert len(told) > 50
    for pair_id, caption in told.items():
        row = rows[pair_id]
        assert caption.exact
        assert not caption.no_op
        assert (caption.forward.en, caption.forward.zh) == (row["en_short"], row["zh_short"])
        back = by_ends.get((row["target_key"], row["source_keys"][0]))
        assert (caption.backward is None) == (back is None)
        if back:
            assert caption.backward.en == back["en_short"]
            mirrored = told[back["pair_id"]]
            ends = [(d.before, d.after) for d in caption.differences]
            assert sorted(ends) == sorted((d.after, d.before) for d in mirrored.differences)
        assert {d.kind for d in caption.differences} <= set(KINDS)
        assert len(caption.differences) >= 1
    code, out, _ = zcurate("describe-pair", root, "--pair", pair_id)
    assert code == 0
    assert row["en_short"] in out
    assert zcurate("describe-pair", root, "--pair", "0" * 32)[0] == 2
