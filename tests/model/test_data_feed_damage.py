"""Exports damaged under a feed: bad samples are skipped and counted, too many of them stop it."""

import pytest

from zcurate.model.data.errors import TooManyBadSamplesError

from .data_case import export, id_of
from .feed_case import epoch, facts, feed, part


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_shards_damaged_in_the_middle_of_an_epoch_are_skipped_and_counted(tmp_path, form, damage):
    export(tmp_path / "e", 160, form, rows_per_shard=8)

    def fresh():
        return [
            feed(part(tmp_path / "e"), rank=r, ranks=2, max_bad_share=0.3, ahead=1, threads=1) for r in (0, 1)
        ]

    number = {id_of(i).hex(): i for i in range(160)}
    last = number[[e.id for batch in fresh()[0] for e in batch][-1]] // 8  # a shard that is read late
    feeds = fresh()
    streams = [iter(f) for f in feeds]
    got = [e.id for s in streams for e in next(s)]
    name = f"{last:05d}.tar" if form == "webdataset" else f"captions-{last:05d}.parquet"
    shard = tmp_path / "e" / name
    shard.unlink() if damage == "missing" else shard.write_bytes(shard.read_bytes()[:700])
    rest = [list(s) for s in streams]
    assert len(rest[0]) == len(rest[1]) > 1
    assert all(batch for r in rest for batch in r)
    got += [e.id for r in rest for b in r for e in b]
    bad = sum(f.bad.bad for f in feeds)
    lost = set(number) - set(got)
    assert {number[i] // 8 for i in lost} == {last}
    assert len(lost) == bad
    assert bad >= 4
    assert name in (feeds[0].bad.first + feeds[1].bad.first)[0]


def test_a_resume_goes_on_exactly_where_a_batch_could_not_be_read(tmp_path):
    export(tmp_path / "e", 24, rows_per_shard=8)

    def fresh():
        return feed(part(tmp_path / "e"), max_samples=1, max_bad_share=0.5)

    one, again = fresh(), fresh()
    (tmp_path / "e" / "00001.tar").unlink()
    whole = list(one)
    assert len(whole) == 24
    assert all(len(b) == 1 for b in whole)
    assert one.bad.bad == 8
    state = {**again.state_dict(), "stretches": [[1, 9]]}
    again.load_state_dict(state)
    assert facts(again) == facts(whole[9:])


def test_too_many_bad_samples_stop_the_feed(tmp_path):
    export(tmp_path / "e", 40, rows_per_shard=8)
    one = feed(part(tmp_path / "e"))
    for name in ("00000.tar", "00001.tar"):
        (tmp_path / "e" / name).unlink()
    with pytest.raises(TooManyBadSamplesError, match=r"max_bad_share 0.01: sample .*0000[01]\.tar"):
        list(one)
    with pytest.raises(TooManyBadSamplesError, match="16 of 40 samples could not be read"):
        feed(part(tmp_path / "e"))
    assert len(epoch(feed(part(tmp_path / "e"), max_bad_share=0.5))) == 24


def test_pictures_that_do_not_decode_are_bad_samples(tmp_path):
    rows = export(tmp_path / "e", 40)
    shard = tmp_path / "e" / "00000.tar"
    data = bytearray(shard.read_bytes())
    at = data.index(b"IDAT")
    data[at : at + 60] = bytes(60)
    shard.write_bytes(data)
    one = feed(part(tmp_path / "e"), max_bad_share=0.1)
    ids = {e.id for e in epoch(one)}
    assert ids == {r["sample_id"].hex() for r in rows[1:]}
    assert one.bad.bad == 1
    assert id_of(0).hex() in one.bad.first[0]
