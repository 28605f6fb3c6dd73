"""The torch search against the exact CPU search; its cells, its stores and its fused kernel."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.neighbors import torch_merge, torch_source, torch_tiles
from zcurate.curation.neighbors.exact import knn_edges, undirected
from zcurate.curation.neighbors.torch_cells import (
    Routing,
    fit_centroids,
    listed_cells,
    needed_slack,
    slack_at,
)
from zcurate.curation.neighbors.torch_knn import Plan, knn_torch, neighbors_of, search
from zcurate.curation.neighbors.torch_merge import contains
from zcurate.curation.neighbors.torch_store import Gathered, Shuffled, choose_groups
from zcurate.curation.neighbors.torch_tiles import nearest
from zcurate.curation.neighbors.torch_vectors import (
    exact_dots,
    full_precision,
    make_block,
    proposal_margin,
    read_ahead,
)
from zcurate.curation.neighbors.vectors import row_dots

CPU = torch.device("cpu")
DTYPES = st.sampled_from([np.float16, np.float32])
OPERANDS = st.sampled_from([torch.float16, torch.float32])


def same(a, b):
    return np.array_equal(a.src, b.src) and np.array_equal(a.dst, b.dst) and np.array_equal(a.cos, b.cos)


def agrees(found, expected, floor):
    """The same pairs, but for cosines that a rounding puts on the other side of the floor."""
    a, b = ({(s, d): c for s, d, c in zip(e.src.tolist(), e.dst.tolist(), e.cos.tolist(), strict=True)}
            for e in (found, expected))  # fmt: skip
    apart = {pair for pair in a.keys() ^ b.keys() if abs({**a, **b}[pair] - floor) > 1e-6}
    return not apart and all(abs(c - b[pair]) < 1e-6 for pair, c in a.items() if pair in b)


def manifold(n, d=64, latent=20, copies=0.2, seed=0):
    """float16 [n, d] unit rows near a flat of few dimensions, the last `copies` near copies of the first."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, latent)) @ rng.standard_normal((latent, d)) / latent**0.5 + 0.5
    m = int(n * copies)
    x[n - m :] = (
        x[:m] + 0.3 * rng.standard_normal((m, latent)) @ rng.standard_normal((latent, d)) / latent**0.5
    )
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 150),
    st.integers(1, 30),
    st.integers(1, 20),
    DTYPES,
    OPERANDS,
    st.sampled_from([-1.0, -0.2, 0.0, 0.3, 0.8, 1.0]),
    st.sampled_from([1.0, 0.01, 900.0]),
    st.integers(0, 2**32 - 1),
)
def test_exact_search_equals_the_cpu(n, d, k, dtype, operand, floor, scale, seed):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n, d)) * scale).astype(dtype)
    x[rng.random(n) < 0.3] = x[0]  # exact copies, more than k of them: self goes by id, ties by position
    x[rng.random(n) < 0.05] = 0
    k = min(k, n - 1)
    expected = knn_edges(x, k, floor)
    tile = int(rng.choice([1, 3, 50])), int(rng.choice([5, 64, 130]))
    strip = int(rng.choice([2, 7, 64]))  # small ones raise bars

    def load(first, last):
        return make_block(torch.from_numpy(x[first:last]), torch.arange(first, last), operand)

    for chunk in (7, 33, n):
        with full_precision(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch_tiles, "STRIP", strip)
            parts = list(nearest(load, n, n, chunk, k, floor, None, tile))
        found = undirected(*(torch.cat(p).numpy() for p in zip(*parts, strict=True)))
        assert agrees(found, expected, floor)
    if operand == torch.float32:
        assert agrees(knn_torch(x, k, floor, "cpu"), expected, floor)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 600), DTYPES, st.integers(0, 2**32 - 1))
def test_dots_are_those_of_the_compiled_loops(d, dtype, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, 40, d)).astype(dtype)
    found = exact_dots(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    assert np.allclose(found, row_dots(a.astype(np.float32), b.astype(np.float32)), rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 600), DTYPES, OPERANDS, st.booleans(), st.integers(0, 2**32 - 1))
def test_proposals_are_never_off_by_more_than_the_margin(d, dtype, operand, sparse, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, d)).astype(dtype)
    if sparse:
        x *= 10.0 ** rng.uniform(-4, 2, (60, d)).astype(dtype)
    x[30:] = x[:30]  # cosine 1, where rounding to half is coarsest
    block = make_block(torch.from_numpy(x), torch.arange(60), operand)
    with full_precision():
        proposed = (block.unit @ block.unit.T).double()
    wide = x.astype(np.float64)
    wide /= np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-300)
    assert np.abs(proposed.numpy() - wide @ wide.T).max() <= proposal_margin(operand, d)


def test_refuses_nonsense_and_copes_with_few_rows():
    x = manifold(300)
    bad = x.copy()
    bad[[200, 133], 2] = np.nan, np.inf
    for plan in (Plan(), Plan(cells=4)):
        with pytest.raises(ValueError, match="row 133 holds NaN"):
            knn_torch(bad, 5, 0.0, "cpu", plan)
    with pytest.raises(ValueError, match="k must be"):
        knn_torch(x, 0, device="cpu")
    with pytest.raises(ValueError, match="place must be"):
        knn_torch(x, 5, device="cpu", plan=Plan(place="moon"))
    with pytest.raises(ValueError, match="fewer cells"):
        knn_torch(x[:10], 5, device="cpu", plan=Plan(cells=20))
    with pytest.raises(ValueError, match="float16 or float32"):
        knn_torch(x.astype(np.float64), 5, device="cpu")
    assert len(knn_torch(x[:1], 5, device="cpu")) == len(knn_torch(x[:0], 5, device="cpu")) == 0
    assert agrees(knn_torch(x[:3], 100, -1.0, "cpu"), knn_edges(x[:3], 100, -1.0), -1.0)
    assert len(knn_torch(np.zeros((50, 8), np.float16), 5, -1.0, "cpu")) == 0


def test_more_copies_than_k_meet_by_id():
    x = manifold(400, copies=0)
    x[100:300] = x[5]
    found = search(x, 10, 0.9, "cpu", Plan(cells=4))
    expected = knn_edges(x, 10, 0.9)
    inside = np.isin(expected.src, np.r_[5, 100:300]) & np.isin(expected.dst, np.r_[5, 100:300])
    assert inside.sum() >= 200 * 10 / 2
    assert contains(found.edges, expected.src[inside], expected.dst[inside], 400).all()
    assert (found.edges.src < found.edges.dst).all()


@pytest.fixture
def on_disk(tmp_path):
    x = manifold(6_000)
    np.save(tmp_path / "vectors.npy", x)
    return x, np.load(tmp_path / "vectors.npy", mmap_mode="r")


def test_cells_find_the_pairs_wherever_the_vectors_are(on_disk, tmp_path, monkeypatch):
    x, mapped = on_disk
    exact = knn_edges(x, 20, 0.9)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    base = search(mapped, 20, 0.9, "cpu", Plan(cells=12, place="host", target=0.99))
    others = [
        search(mapped, 20, 0.9, "cpu", Plan(cells=12, place="host", target=0.99)),
        search(x, 20, 0.9, "cpu", Plan(cells=12, place="device", target=0.99)),
        search(mapped, 20, 0.9, "cpu", Plan(12, 64, 3_000, target=0.99, place="disk", scratch=scratch)),
    ]
    monkeypatch.setattr(torch_source, "_CPU_CHUNK_ROWS", 100)  # every cell larger than the device takes
    others.append(search(mapped, 20, 0.9, "cpu", Plan(cells=12, place="host", target=0.99)))
    assert all(same(found.edges, base.edges) for found in others)
    assert others[2].shuffled_bytes > 6_000 * 128  # some rows are in two groups
    assert not list(scratch.iterdir())
    # Found pairs are true ones, with the same cosines; the recall it reports is that of a sample.
    assert contains(exact, base.edges.src, base.edges.dst, 6_000).all()
    hit = contains(base.edges, exact.src, exact.dst, 6_000)
    assert np.allclose(exact.cos[hit], base.edges.cos, atol=1e-6)
    assert len(exact) > 1_000
    assert hit.mean() > 0.97
    assert base.recall_pairs > 500
    assert abs(base.recall - hit.mean()) < 0.02
    assert base.pairs_per_row < 3_000 < 6_000  # less work than comparing everything


def test_all_cells_listed_is_exact(on_disk):
    x, _ = on_disk
    found = search(x[:2_000], 20, 0.5, "cpu", Plan(cells=5, slack=2.0))
    assert found.copies_per_row == 5
    assert found.recall == 1.0
    assert agrees(found.edges, knn_edges(x[:2_000], 20, 0.5), 0.5)


def test_neighbors_of_some_rows(on_disk):
    x, mapped = on_disk
    rows, others, cos = neighbors_of(mapped, np.array([5, 3]), 7, 0.0, "cpu")
    unit = x / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    wide = unit[[5, 3]] @ unit.T
    wide[0, 5] = wide[1, 3] = -1
    for row, line in zip((5, 3), wide, strict=True):
        assert others[rows == row].tolist() == np.argsort(-line)[:7].tolist()
    assert rows.tolist() == [5] * 7 + [3] * 7
    assert (np.diff(cos[:7]) <= 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(1, 12), st.floats(0, 0.4), st.integers(0, 2**32 - 1))
def test_needed_slack_says_which_pairs_meet(cells, probes, slack, seed):
    x = torch.nn.functional.normalize(torch.from_numpy(manifold(300, seed=seed)).float())
    routing = Routing(fit_centroids(x, cells, seed), probes, slack)
    a, b = torch.from_numpy(np.random.default_rng(seed).integers(0, 300, (2, 200)))
    listed = listed_cells(x, routing)
    own = listed[:, :1]
    meet = (listed[a] == own[b]).any(1) | (listed[b] == own[a]).any(1)
    needed = needed_slack(routing, x[a], x[b])
    clear = (needed - slack).abs() > 1e-5
    assert torch.equal(meet[clear], (needed <= slack)[clear])
    assert torch.equal(own.squeeze(1).long(), (x @ routing.centroids.T).argmax(1))


def test_chosen_slack_keeps_its_promise():
    """Of 400 samples, at most about one in 20 may choose a slack that finds less than the share."""
    rng = np.random.default_rng(0)
    for size, share in ((100, 0.9), (1_000, 0.99), (5_000, 0.99)):
        slack = np.array([slack_at(rng.random(size), share) for _ in range(400)])  # finds `slack` of all
        assert (slack < share).mean() < 0.08
        assert slack.mean() < share + 5 * np.sqrt(share * (1 - share) / size)
    assert slack_at(np.array([0.1, 0.3, np.inf]), 0.99) == 0.3
    assert slack_at(np.array([np.inf]), 0.99) == 1.0


def test_centroids_are_the_same_again_and_cells_even():
    x = torch.nn.functional.normalize(torch.from_numpy(manifold(5_000)).float())
    x[:2_000] = x[0]  # many copies starve other centroids
    a, b = (fit_centroids(x, 40, seed=7) for _ in range(2))
    assert torch.equal(a, b)
    assert torch.allclose(a.norm(dim=1), torch.ones(40), atol=1e-5)
    sizes = torch.bincount((x[2_000:] @ a.T).argmax(1), minlength=40)
    assert int((sizes > 0).sum()) >= 35
    assert int(sizes.max()) < 5 * 3_000 / 40


def test_shuffled_groups_hold_every_listed_row_once(tmp_path):
    x = torch.from_numpy(manifold(3_000))
    unit = torch.nn.functional.normalize(x.float())
    routing = Routing(fit_centroids(unit, 16, 0), 6, 0.1)
    listed = listed_cells(unit, routing)
    group_of = choose_groups(routing, listed, 3_000, 900)
    group = torch.where(listed >= 0, group_of[listed.clamp(min=0).long()], -1)
    rows = [
        set(torch.nonzero((group == g).any(1)).squeeze(1).tolist()) for g in range(int(group_of.max()) + 1)
    ]
    assert max(map(len, rows)) <= 900
    ids = torch.arange(3_000) + 10**10
    pieces = zip(x.split(700), ids.split(700), listed.split(700), strict=True)
    shuffled = Shuffled(pieces, group_of, tmp_path)
    whole = Gathered(x, listed, 16)
    for group in range(shuffled.groups):
        vectors, found, cells = shuffled.load(group)
        at = found - 10**10
        assert set(at.tolist()) == rows[group]
        assert len(at) == len(rows[group])
        assert torch.equal(vectors, x[at])
        part = Gathered(vectors, cells, 16, found)
        for cell in np.flatnonzero(group_of.numpy() == group):
            own, everyone = (int(s[cell]) for s in whole.sizes())
            assert (own, everyone) == tuple(int(s[cell]) for s in part.sizes())
            for first, last in ((0, own), (own, everyone)):
                expected, got = whole.load(cell, first, last), part.load(cell, first, last)
                assert torch.equal(got[1], expected[1] + 10**10)
                assert torch.equal(got[0], expected[0])
    (tmp_path / "vectors").write_bytes(b"")
    with pytest.raises(OSError, match="ends early"):
        shuffled.load(0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.integers(0, 200), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_merging_in_ranges_changes_nothing(n, pairs, most, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, n, (2, pairs))
    a, b = a[a != b], b[a != b]
    cos = ((a * 31 + b * 31) % 17 / 17).astype(np.float32)
    parts = [tuple(torch.from_numpy(x) for x in (a, b, cos)), tuple(torch.from_numpy(x) for x in (b, a, cos))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_merge, "_MERGE_EDGES", most)
        assert same(torch_merge.merge(parts, n, CPU), undirected(a, b, cos))


def test_reading_ahead_keeps_rows_and_order(on_disk):
    x, mapped = on_disk
    blocks = list(read_ahead(mapped, CPU, rows=999))
    assert [first for first, _ in blocks] == list(range(0, 6_000, 999))
    assert np.array_equal(torch.cat([block for _, block in blocks]).numpy(), x)


KERNEL = """
    import torch
    from zcurate.curation.neighbors.torch_kernel import propose_fused, passing_words
    torch.manual_seed(0)
    for rows, cols, d in ((5, 3, 64), (130, 300, 128), (257, 513, 64)):
        a, b = (torch.nn.functional.normalize(torch.randn(n, d)).half() for n in (rows, cols))
        bar = torch.rand(rows) * 0.3
        exact = a.float() @ b.float().T
        clear = (exact - bar[:, None]).abs() > 1e-5
        found = torch.zeros(rows, cols, dtype=torch.bool)
        r, c = propose_fused(a, b, bar)
        found[r, c] = True
        assert int(found.sum()) == len(r) > 0
        assert torch.equal(found[clear], (exact >= bar[:, None])[clear])
        assert passing_words(a, b, bar).shape == (rows, -(-cols // 32))
    try:
        passing_words(a[:, :60], b[:, :60], bar)
    except ValueError as error:
        print(error)
"""
COMPILE = """
    import subprocess, pathlib, triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from zcurate.curation.neighbors import torch_kernel as kernel
    names = dict(rows="*fp16", cols="*fp16", bar="*fp32", words="*i32")
    names.update(dict.fromkeys(("n_rows", "n_cols", "words_per_row"), "i32"))
    fixed = dict(d=512, block_rows=kernel._ROWS, block_cols=kernel._COLS, block_depth=kernel._DEPTH)
    fixed["group_rows"] = 8
    source = ASTSource(kernel._compare, signature={**names, **dict.fromkeys(fixed, "constexpr")},
                       constexprs=fixed,
                       attrs={(i,): [["tt.divisibility", 16]] for i in range(7)})
    built = triton.compile(source, target=GPUTarget("cuda", 90, 32),
                           options=dict(num_warps=kernel._WARPS, num_stages=kernel._STAGES))
    print("wgmma" in built.asm["ptx"], ".local" in built.asm["ptx"], built.metadata.shared <= 232448)
"""


def run_python(code, **environment):
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fused_kernel_proposes_the_same_pairs_when_interpreted(tmp_path):
    pytest.importorskip("triton")
    assert "needs a multiple of 64" in run_python(KERNEL, TRITON_INTERPRET="1", OMP_NUM_THREADS="1")


def test_fused_kernel_compiles_for_hopper_without_spilling(tmp_path):
    triton = pytest.importorskip("triton")
    if "nvidia" not in triton.backends.backends:
        pytest.skip("this triton has no NVIDIA backend")
    out = run_python(COMPILE, TRITON_CACHE_DIR=str(tmp_path), OMP_NUM_THREADS="1")
    assert out.split() == ["True", "False", "True"]


def test_light_modules_do_not_import_torch():
    code = "import sys, zcurate.curation.neighbors.exact; print('torch' in sys.modules)"
    assert run_python(code).strip() == "False"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("place", ["device", "host", "disk"])
def test_cuda_agrees_with_the_cpu(place, tmp_path):
    x = manifold(20_000, d=128)
    expected = knn_edges(x, 20, 0.9)
    assert agrees(knn_torch(x, 20, 0.9, "cuda"), expected, 0.9)
    assert agrees(knn_torch(x, 20, 0.9, "cuda", Plan(fused=False)), expected, 0.9)
    found = search(x, 20, 0.9, "cuda", Plan(cells=12, place=place, scratch=tmp_path, group_rows=9_000))
    hit = contains(found.edges, expected.src, expected.dst, len(x))
    assert hit.mean() > 0.97
    assert np.allclose(expected.cos[hit], found.edges.cos, atol=1e-6)
