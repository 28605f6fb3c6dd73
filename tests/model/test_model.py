"""One packed path: batches, hoisting, gradients, compilation, precision, fresh weights."""

from dataclasses import replace

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from zcurate.model.attention import attend, blocked
from zcurate.model.config import PRESETS
from zcurate.model.errors import ModelError, SizeError
from zcurate.model.init import new_model
from zcurate.model.layers import Block
from zcurate.model.linear import FAST, Linear, product
from zcurate.model.model import Features, S3DiT
from zcurate.model.packed import Sample
from zcurate.model.packing import patchify, plan

from .peer import OMNI, TINY, Batch, random_model, worst

T2I = [Sample((8, 12), (5,)), Sample((16, 16), (33,)), Sample((4, 30), (64,)), Sample((8, 12), (150,))]
EDIT = [
    Sample((8, 12), (5, 40, 3), ((8, 8),), ((3, 4),), omni=True),
    Sample((16, 16), (5, 1, 33, 3), ((4, 4), (6, 10)), ((5, 7), None), omni=True),
    Sample((8, 8), (7,), omni=True),
]
MIXED = [T2I[1], EDIT[1], T2I[0], EDIT[0]]


@pytest.fixture(scope="module")
def model():
    return random_model(OMNI)


@torch.no_grad()
@pytest.mark.parametrize("samples", [T2I, EDIT, MIXED], ids=["text to image", "editing", "both in one batch"])
def test_a_sample_alone_equals_the_sample_in_a_batch(model, samples):
    batch = Batch.random(samples, OMNI, torch.linspace(0.1, 0.9, len(samples)).tolist())
    together = batch.run(model)
    alone = [batch.alone(i).run(model)[0] for i in range(len(samples))]
    assert worst(together, alone) < 1e-5


@torch.no_grad()
def test_chunks_of_a_cpu_do_not_change_the_result(monkeypatch):
    model = random_model(TINY)
    batch = Batch.random(T2I, TINY, [0.2, 0.4, 0.6, 0.8])
    whole = batch.run(model)
    monkeypatch.setattr("zcurate.model.packed.CHUNK_VALUES", 1)
    assert worst(batch.run(model), whole) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("samples", [T2I, EDIT], ids=["text to image", "editing"])
def test_work_hoisted_out_of_the_loop_gives_the_same_velocities(model, samples):
    batch = Batch.random(samples, OMNI, [0.3])
    layout = plan(samples, OMNI)
    x, features = patchify(batch.targets), batch.features(OMNI)
    times = torch.tensor([0.0, 0.3, 0.9])
    encoded, schedule = model.encode(features, layout), model.schedule(times, layout)
    for t, step in zip(times, schedule, strict=True):
        plain = model(x, t[None], features, layout)
        assert worst([model(x, step, encoded, layout)], [plain]) < 1e-5
        per_sample = model(x, t.expand(len(samples)), encoded, layout)
        assert worst([per_sample], [plain]) < 1e-5


@torch.no_grad()
def test_reference_text_and_noise_all_matter(model):
    batch = Batch.random(EDIT[:1], OMNI, [0.5])
    before = batch.run(model)
    for change in (batch.references[0][0], batch.siglip[0][0], batch.text[0][2], batch.targets[0]):
        change += 1
        after = batch.run(model)
        assert worst(after, before) > 1e-4
        before = after


def test_gradients_reach_every_weight(model):
    model.zero_grad()
    batch = Batch.random([EDIT[0], T2I[0]], OMNI, [0.3, 0.6])
    sum(x.square().mean() for x in batch.run(model)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())


def test_blocks_can_be_checkpointed_from_outside():
    model = random_model(TINY)
    batch = Batch.random(T2I[:2], TINY, [0.3, 0.6])

    def gradients():
        model.zero_grad()
        sum(x.square().mean() for x in batch.run(model)).backward()
        return [p.grad.clone() for p in model.parameters()]

    plain = gradients()
    for block in model.modules():
        if isinstance(block, Block):
            run = block.forward
            block.forward = lambda *a, run=run: checkpoint(run, *a, use_reentrant=False)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(plain, gradients(), strict=True))


@pytest.fixture
def shard(tmp_path):
    """FSDP2 around every block and the whole, in a group of one process."""
    import torch.distributed as dist
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    mesh = dist.init_device_mesh("cpu", (1,))

    def wrap(model, dtype=None, root_casts=False):
        for block in model.modules():
            if isinstance(block, Block):
                fully_shard(block, mesh=mesh, mp_policy=MixedPrecisionPolicy(dtype))
        policy = MixedPrecisionPolicy(dtype, cast_forward_inputs=root_casts)
        return fully_shard(model, mesh=mesh, mp_policy=policy)

    yield wrap
    dist.destroy_process_group()


def test_fully_sharded_blocks_train_to_the_same_gradients(shard):
    batch = Batch.random(EDIT[:2], OMNI, [0.3, 0.6])

    def gradients(model):
        sum(x.square().mean() for x in batch.run(model)).backward()
        return [p.grad for p in model.parameters()]

    plain, sharded = gradients(random_model(OMNI)), gradients(shard(random_model(OMNI)))
    assert all(
        torch.allclose(a, b.full_tensor(), atol=1e-5, rtol=1e-4) for a, b in zip(plain, sharded, strict=True)
    )


def test_mixed_precision_of_sharded_blocks_leaves_times_and_positions_alone(shard):
    """Positions in the hundreds and times in the thousandths are lost in bfloat16."""
    samples = [Sample((8, 12), (500,)), Sample((16, 16), (400,))]
    batch = Batch.random(samples, OMNI, [0.301, 0.604])
    exact = batch.run(random_model(OMNI, std=0.05))
    out = batch.run(shard(random_model(OMNI, std=0.05), torch.bfloat16))
    half = batch.run(random_model(OMNI, std=0.05).bfloat16())
    assert {x.dtype for x in out} == {torch.bfloat16}
    assert worst([x.float() for x in out], exact) < 1.5 * worst([x.float() for x in half], exact)
    with pytest.raises(ModelError, match="cast_forward_inputs=False"):
        batch.run(shard(random_model(OMNI), torch.bfloat16, root_casts=True))


@torch.no_grad()
def test_autocast_runs_unequal_batches(model):
    batch = Batch.random(T2I, OMNI, [0.3])
    exact = batch.run(model)
    with torch.autocast("cpu", torch.bfloat16):
        low = batch.run(model)
    assert worst([x.float() for x in low], exact) < 0.1


def test_fresh_weights_give_zero_velocity_identity_blocks_and_finite_gradients():
    model = new_model(TINY, seed=3)
    batch = Batch.random(T2I[:2], TINY, [0.3, 0.6])
    out = batch.run(model)
    assert all(not x.any() for x in out)
    layout = plan(T2I[:2], TINY)
    x = torch.randn(len(layout.joint.rotation.cos), TINY.dim)
    cond = torch.randn(2, TINY.cond_dim)
    assert torch.equal(model.layers[0](x, cond, layout.joint, layout.joint.rows(2)), x)
    sum((x - 1).square().mean() for x in out).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert model.head.linear.weight.grad.abs().max() > 0


def test_fresh_weights_follow_the_seed():
    a, b, c = (new_model(TINY, seed=s).state_dict() for s in (0, 0, 1))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["layers.0.attention.qkv.weight"], c["layers.0.attention.qkv.weight"])
    qkv = a["layers.0.attention.qkv.weight"]
    assert float(qkv.std()) == pytest.approx((2 / (TINY.dim * 2)) ** 0.5, rel=0.05)


@torch.no_grad()
@pytest.mark.parametrize(
    "samples", [T2I[:1], [T2I[0]] * 2, EDIT[:1], T2I], ids=["one", "equal", "edit", "unequal"]
)
def test_compiles_to_one_graph(samples):
    torch._dynamo.reset()
    model = random_model(OMNI)
    batch = Batch.random(samples, OMNI, [0.3])
    layout = plan(samples, OMNI)
    x, encoded = patchify(batch.targets), model.encode(batch.features(OMNI), layout)
    step = model.schedule(batch.t, layout)[0]
    assert torch._dynamo.explain(model)(x, step, encoded, layout).graph_break_count == 0
    assert torch._dynamo.explain(model)(x, batch.t, batch.features(OMNI), layout).graph_break_count == 0
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert worst([compiled(x, step, encoded, layout)], [model(x, step, encoded, layout)]) < 1e-5


@torch.no_grad()
def test_a_block_compiled_once_serves_all_layers():
    torch._dynamo.reset()
    model = random_model(TINY)
    batch = Batch.random(T2I[:1], TINY, [0.3])
    plain = batch.run(model)
    counter = torch._dynamo.testing.CompileCounter()
    for block in model.layers:
        block.compile(fullgraph=True, backend=counter)
    assert worst(batch.run(model), plain) < 1e-5
    assert counter.frame_count == 1


@torch.no_grad()
def test_float16_survives_projections_beyond_its_range():
    """Output projections past 65504 are divided before they overflow; the norm behind restores them."""
    model = random_model(TINY)
    for block in model.layers:
        block.feed_forward.w2.weight.mul_(8000)
        block.attention.out.weight.mul_(4000)
    batch = Batch.random(T2I[:1], TINY, [0.3])
    peak = []
    for block in model.layers:
        block.feed_forward.w2.register_forward_hook(lambda m, i, o: peak.append(float(o.abs().max())))
    exact = batch.run(model)
    assert max(peak) > 65504
    low = Batch(
        batch.samples, [x.half() for x in batch.targets], [[batch.text[0][0].half()]], [[]], [None], batch.t
    )
    out = [x.float() for x in low.run(model.half())]
    assert worst(out, exact) < 0.05


def test_wrong_token_counts_and_times_are_named(model):
    batch = Batch.random(T2I[:2], OMNI, [0.3, 0.5])
    layout, x, features = plan(T2I[:2], OMNI), patchify(batch.targets), batch.features(OMNI)
    with pytest.raises(SizeError, match=r"87 noisy image tokens.*planned for 88"):
        model(x[1:], batch.t, features, layout)
    with pytest.raises(SizeError, match="text tokens"):
        model(x, batch.t, Features(features.text[1:]), layout)
    with pytest.raises(SizeError, match="3 times for 2 samples"):
        model(x, torch.rand(3), features, layout)
    edit = Batch.random(EDIT[:1], OMNI, [0.3])
    with pytest.raises(SizeError, match="with_siglip"):
        edit.run(random_model(TINY))


@pytest.mark.skipif(not FAST, reason="oneDNN products need AVX-512")
@pytest.mark.parametrize("bias", [False, True])
def test_linear_has_the_values_and_gradients_of_torch(bias):
    fast, plain = Linear(512, 640, bias=bias), torch.nn.Linear(512, 640, bias=bias)
    plain.load_state_dict(fast.state_dict())
    x = torch.randn(400, 512)
    grad = torch.randn(400, 640)
    results = []
    for layer in (fast, plain):
        own = x.clone().requires_grad_()
        y = layer(own)
        y.backward(grad)
        results.append([y, own.grad, *(p.grad for p in layer.parameters())])
    assert "_Product" in type(results[0][0].grad_fn).__name__
    for a, b in zip(*results, strict=True):
        assert worst([a], [b]) < 1e-5


@pytest.mark.skipif(not FAST, reason="oneDNN products need AVX-512")
def test_blocked_attention_is_attention():
    q, k, v = torch.randn(3, 700, 2, 64).unbind()
    expected = torch.nn.functional.scaled_dot_product_attention(*(x.transpose(0, 1) for x in (q, k, v)))
    assert torch.allclose(blocked(q, k, v), expected.transpose(0, 1), atol=1e-5)
    assert product(q[:, 0].contiguous(), k[:, 0].contiguous()).shape == (700, 700)


def test_attention_under_gradients_equals_attention_without():
    config = replace(TINY, dim=128, n_heads=2, axes_dims=(16, 24, 24))
    packed = plan([Sample((32, 48), (5,)), Sample((32, 32), (70,))], config).joint
    q, k, v = (torch.randn(len(packed.rotation.cos), 2, 64, requires_grad=True) for _ in range(3))
    with torch.no_grad():
        plain = attend(q, k, v, packed)
    assert torch.allclose(attend(q, k, v, packed), plain, atol=1e-5)


def test_full_model_on_the_meta_device():
    with torch.device("meta"):
        model = S3DiT(PRESETS["full"])
        edit = S3DiT(PRESETS["full"].with_siglip())
    assert sum(p.numel() for p in model.parameters()) == 6_154_908_736
    assert sum(p.numel() for p in edit.parameters()) - 6_154_908_736 == 358_358_144
