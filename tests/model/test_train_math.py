"""Objective, averages, optimizers, schedules, LoRA and soups against what they are defined as."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.model.config import PRESETS
from zcurate.model.errors import WeightsError
from zcurate.model.init import new_model
from zcurate.model.lora import merge_lora
from zcurate.model.model import Features
from zcurate.model.packed import Sample
from zcurate.model.packing import plan
from zcurate.model.state_layouts import to_official
from zcurate.model.train.adapters import add_lora, lora_state, merged_state, save_lora
from zcurate.model.train.ema import Ema
from zcurate.model.train.estimate import forward_flops, memory, parameters, sample_flops
from zcurate.model.train.loop import Network
from zcurate.model.train.merge import Ingredient, greedy_soup, ingredient, soup
from zcurate.model.train.objective import Times, by_decile, sample_means, strata
from zcurate.model.train.optim import decays, learning_rate, optimizer_of
from zcurate.model.weights import in_memory

from .peer import random_model
from .train_case import examples, trainer

TINY = PRESETS["tiny"]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=40), st.integers(1, 4))
def test_strata_are_a_permutation_that_does_not_depend_on_who_holds_what(keys, ranks):
    keys = list(dict.fromkeys(keys))
    whole = dict(zip(keys, strata(keys, []), strict=True))
    assert sorted(whole.values()) == list(range(len(keys)))
    dealt = [keys[r::ranks] for r in range(ranks)]
    for r, own in enumerate(dealt):
        before = [k for part in dealt[:r] for k in part]
        after = [k for part in dealt[r + 1 :] for k in part]
        assert strata(own, before, after) == [whole[k] for k in own]


def test_equal_keys_get_different_strata():
    assert strata([7, 7], [7], [7]) == [1, 2]


def test_times_are_logit_normal_around_the_shift_of_their_size():
    quantiles = (torch.arange(20_000) + 0.5) / 20_000
    for tokens, mu in ((256, 0.5), (4096, 1.15)):
        t = Times().at(quantiles, [tokens] * len(quantiles)).double()
        logits = torch.log(t / (1 - t))
        assert float(logits.mean()) == pytest.approx(-mu, abs=1e-3)
        assert float(logits.std()) == pytest.approx(1, abs=2e-3)
    large = Times().at(torch.tensor([0.5]), [65536])
    assert float(large) == pytest.approx(1 / (1 + math.exp(2.1)), rel=1e-5)
    assert float(Times(shift=1.0).at(torch.tensor([0.5]), [256])) == pytest.approx(0.5)


def test_losses_are_means_over_a_samples_own_tokens():
    layout = plan([Sample((4, 4), (3,)), Sample((8, 8), (3,))], TINY)
    values = torch.cat([torch.full((4, 12), 2.0), torch.full((16, 12), 5.0)])
    assert sample_means(values, layout).tolist() == [2.0, 5.0]


def test_deciles_hold_every_loss_once():
    t = torch.tensor([0.0, 0.05, 0.31, 0.999, 1.0])
    sums, counts = by_decile(torch.arange(5.0), t)
    assert counts.tolist() == [2, 0, 0, 1, 0, 0, 0, 0, 0, 2]
    assert sums.tolist() == [1, 0, 0, 2, 0, 0, 0, 0, 0, 7]


def test_a_step_with_a_known_answer():
    """With zero weights in the head the velocity is 0, so the first loss is the mean of (x1 - x0)^2."""
    run = trainer(semantic=False)
    batch = run._drawn([examples(4, edits=False)])[0]
    expected = (batch.x1 - batch.x0).square().mean(-1)
    per_sample = [part.mean() for part in expected.split([h * w // 4 for h, w in batch.layout.sizes])]
    assert run.objective.losses("model", batch, run.models).tolist() == pytest.approx(
        [float(x) for x in per_sample], rel=1e-5
    )
    assert batch.weight == 0.25


def test_averages_equal_a_hand_computation():
    model = new_model(TINY)
    ema = Ema(model, 0.9)
    weight = model.layers[0].attention.out.weight
    expected = weight.detach().double().clone()
    for n in range(30):
        with torch.no_grad():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(n)), alpha=0.1)
        ema.update()
        d = min(0.9, (1 + n) / (10 + n))
        expected = d * expected + (1 - d) * weight.detach().double()
    shadow = ema.shadow["layers.0.attention.out.weight"]
    assert torch.allclose(shadow.double(), expected, atol=1e-6)
    own = weight.detach().clone()
    with ema.swapped():
        assert torch.equal(weight.detach(), shadow) is False  # the shadow holds the model's own meanwhile
        assert torch.allclose(weight.detach().double(), expected, atol=1e-6)
    assert torch.equal(weight.detach(), own)


def test_norms_biases_and_pads_do_not_decay():
    kept = [n for n, _ in random_model(TINY.with_siglip(8)).named_parameters() if not decays(n)]
    assert any(n.endswith("qk_norm") for n in kept)
    assert any(n.endswith("norms") for n in kept)
    assert {"x_pad_token", "cap_pad_token", "siglip_pad_token", "cap_embedder.norm"} <= set(kept)
    assert not any(n.endswith(".weight") for n in kept)


def test_learning_rates():
    cosine = [learning_rate(n, 1.0, 10, 110, "cosine", floor=0.1) for n in range(120)]
    assert cosine[0] == pytest.approx(0.1)
    assert cosine[9] == cosine[10] == 1.0
    assert cosine[60] == pytest.approx(0.55)
    assert cosine[110] == cosine[119] == pytest.approx(0.1)
    assert all(a >= b for a, b in zip(cosine[9:], cosine[10:], strict=False))
    assert learning_rate(60, 2.0, 10, 110, "linear") == pytest.approx(1.0)
    assert learning_rate(5000, 2.0, 0, 110) == 2.0


@pytest.mark.parametrize("kind", ["adamw", "adamw8bit"])
def test_optimizers_take_adamws_steps(kind):
    """Against torch's AdamW on a noisy quadratic: float32 exactly, 8 bits to the same place."""

    def minimize(make):
        torch.manual_seed(0)
        layer = torch.nn.Linear(512, 32)
        torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(1))
        optimizer = make(layer)
        goal = torch.randn(32, 512, generator=torch.Generator().manual_seed(2))
        for n in range(300):
            noise = torch.randn(32, 512, generator=torch.Generator().manual_seed(100 + n))
            layer.weight.grad = layer.weight.detach() - goal + 0.3 * noise
            layer.bias.grad = layer.bias.detach() - 1
            optimizer.step()
        return float((layer.weight.detach() - goal).square().mean()), layer.bias.detach().clone()

    class Named(torch.nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

    reference, bias = minimize(
        lambda m: torch.optim.AdamW(m.parameters(), lr=0.02, betas=(0.9, 0.99), weight_decay=0)
    )
    own, own_bias = minimize(lambda m: optimizer_of(Named(m), kind, lr=0.02))
    assert own == pytest.approx(reference, rel=1e-4 if kind == "adamw" else 0.15)
    assert torch.allclose(own_bias, bias, atol=1e-6)


def test_moments_of_8_bits_take_a_quarter_of_the_room():
    def size(kind):
        run = trainer(optimizer=kind)
        return sum(t.nbytes for n, t in run.tensors().items() if "/optimizer/" in n)

    assert size("adamw8bit") < 0.27 * size("adamw")


def test_low_rank_training_is_the_merged_model(tmp_path):
    model = random_model(TINY, std=0.05).train()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    add_lora(model, rank=4, alpha=8.0)
    assert sum(p.requires_grad for p in model.parameters()) == 8 * 2 * 4  # blocks, matrices, A and B
    layout = plan([Sample((8, 12), (5,))], TINY)
    x, features = torch.randn(24, TINY.patch_dim), Features(torch.randn(5, 64))
    t = torch.tensor([0.4])
    plain = random_model(TINY, std=0.05)
    assert torch.allclose(model(x, t, features, layout), plain(x, t, features, layout), atol=1e-6)
    network = Network(model, optimizer_of(model, lr=1e-2), lambda n: 1e-2)
    for _ in range(3):
        (model(x, t, features, layout) - 1).square().mean().backward()
        network.update()
    trained = model(x, t, features, layout)
    assert not torch.allclose(trained, plain(x, t, features, layout), atol=1e-3)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters() if n in before)
    save_lora(lora_state(model), tmp_path / "lora.safetensors")
    assert merge_lora(plain, tmp_path / "lora.safetensors") == 8 * 7
    assert torch.allclose(trained, plain(x, t, features, layout), atol=1e-4)
    merged = merged_state(model)
    assert merged.keys() == before.keys()
    assert all(torch.allclose(merged[n], p, atol=1e-5) for n, p in plain.named_parameters())


def state(model):
    return to_official(model.state_dict(), model.config)


def near(seed, of):
    """A descendant: the same weights, slightly moved."""
    generator = torch.Generator().manual_seed(seed)
    return {n: t + 0.01 * torch.randn(t.shape, generator=generator) for n, t in of.items()}


def served(*states):
    return [ingredient(in_memory(s, f"model {i}"), TINY) for i, s in enumerate(states)]


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=4))
def test_a_soup_of_equal_weights_is_identity(weights):
    own = SMALL
    mixed = soup([Ingredient(str(i), own.__getitem__) for i in range(len(weights))], weights, TINY)
    assert all(torch.equal(mixed[n], t) for n, t in own.items())


SMALL = state(random_model(TINY))


def test_a_soup_is_the_weighted_mean_in_float32():
    first = {n: t.bfloat16() for n, t in SMALL.items()}
    second = {n: t.bfloat16() for n, t in near(1, SMALL).items()}
    mixed = soup(served(first, second), [3, 1], TINY)
    name = "layers.0.attention.to_q.weight"
    exact = 0.75 * first[name].double() + 0.25 * second[name].double()
    assert mixed[name].dtype == torch.bfloat16
    assert torch.equal(mixed[name], exact.float().bfloat16())


def test_models_of_different_beginnings_are_not_merged():
    with pytest.raises(WeightsError, match=r"model 1: .*one ancestor"):
        soup(served(SMALL, state(random_model(TINY, seed=2))), [1, 1], TINY)


def test_weights_of_a_soup_are_checked():
    for weights in ([1.0], [0.0, 0.0], [float("nan"), 1.0], [1.0, -2.0]):
        with pytest.raises(ValueError, match="weights"):
            soup(served(SMALL, SMALL), weights, TINY)


def test_a_greedy_soup_leaves_out_what_makes_it_worse():
    goal = SMALL
    good, better, bad = near(1, goal), near(2, goal), {n: t * 2 for n, t in near(3, goal).items()}

    def score(tried):
        return -float(np.mean([float((tried[n] - t).square().mean()) for n, t in goal.items()]))

    best = greedy_soup(served(bad, good, better), TINY, score)
    assert set(best.kept) == {"model 1", "model 2"}
    assert best.score == score(best.state) > max(best.scores.values())


def test_flops_by_lengths_are_those_of_the_layout():
    layout = plan([Sample((32, 48), (70,))], TINY)
    assert forward_flops(TINY, layout) == sample_flops(TINY, 384, 70)


def test_the_full_model_costs_what_the_reference_works_out():
    full = PRESETS["full"]
    assert parameters(full) == 6_154_908_736
    assert sample_flops(full, 4096, 128) / 1e12 == pytest.approx(56.6, rel=0.02)
    assert sample_flops(full, 256, 128) / 1e12 == pytest.approx(4.4, rel=0.1)
    one = memory(full, gpus=1, tokens=4224, ema=False)
    assert one.weights + one.gradients + one.optimizer == 16 * parameters(full)
    assert memory(full, gpus=8, tokens=4224).weights == pytest.approx(one.weights / 8)
