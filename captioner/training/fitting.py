"""LoRA on a chat model in this process: a frozen base, small matrices beside its linear layers, conversations of all tasks.

Hu et al. 2021 (arXiv 2106.09685): W x + (alpha / rank) B A x, B = 0 at the start, so that an untrained adapter changes nothing.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..vlm.adapters import lora_model
from .conversations import Conversation
from .examples import Encoder, TooLongError, nll


class TrainingError(ValueError):
    """Training cannot go on; the message says why and what to change."""


@dataclass(frozen=True)
class FitSettings:
    """Attributes:
    rank, alpha, dropout: of the adapter; its output is scaled by alpha / rank.
    rate: peak learning rate of AdamW, after `warmup` (share of the steps), then down by a cosine to a tenth.
    epochs: rounds through as many conversations as there are. steps: instead of them, None for epochs.
    batch: conversations per step, one forward each, their gradients added up.
    mix: 1 draws tasks by their numbers of conversations, 0 all alike; between, by number ** mix.
    clip: largest norm of the gradient.
    checkpointing: activations are computed twice rather than kept. None: on a GPU.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    rate: float = 1e-4
    warmup: float = 0.05
    epochs: float = 1.0
    steps: int | None = None
    batch: int = 8
    mix: float = 0.5
    clip: float = 1.0
    checkpointing: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises TrainingError naming the field."""
        checks = {
            "rank": 1 <= self.rank <= 1024,
            "alpha": 0 < self.alpha < math.inf,
            "dropout": 0 <= self.dropout < 1,
            "rate": 0 < self.rate < 1,
            "warmup": 0 <= self.warmup < 1,
            "epochs": 0 < self.epochs < math.inf,
            "steps": self.steps is None or self.steps >= 1,
            "batch": self.batch >= 1,
            "mix": 0 <= self.mix <= 1,
            "clip": self.clip > 0,
        }
        for name, good in checks.items():
            if not good:
                raise TrainingError(f"{name} is {getattr(self, name)}, out of its range")


@dataclass(frozen=True)
class FitFacts:
    """What happened.

    Attributes:
        steps: of the optimizer. drawn: task -> conversations used, repeats included. too_long: passed over.
        first_loss, last_loss: mean over the conversations of the first and last step, nats per token.
        trainable: parameters of the adapter.
    """

    steps: int
    drawn: dict[str, int]
    too_long: int
    first_loss: float
    last_loss: float
    trainable: int


def attach(network: Any, settings: FitSettings) -> Any:
    """PEFT's model with a new adapter beside every linear layer of the language model; the vision tower has none.

    Raises:
        TrainingError: the network's language model cannot be found.
    """
    import torch

    decoder = network.get_decoder() if hasattr(network, "get_decoder") else None
    root = next((n for n, m in network.named_modules() if m is decoder), "") if decoder is not None else ""
    names = {
        n.rpartition(".")[2]
        for n, m in (decoder or network).named_modules()
        if isinstance(m, torch.nn.Linear)
    }
    if not root or not names:
        raise TrainingError(
            f"{type(network).__name__}: no language model with linear layers can be found in it"
        )
    layers = rf"{re.escape(root)}\..*\.({'|'.join(sorted(names))})"
    torch.manual_seed(settings.seed)
    config = {"r": settings.rank, "lora_alpha": settings.alpha, "lora_dropout": settings.dropout}
    return lora_model(network, config | {"target_modules": layers})


def draws(tasks: Sequence[str], count: int, mix: float, seed: int) -> Iterator[int]:
    """`count` places in `tasks`, tasks drawn in proportion to their number ** mix, within a task each as often as any other.

    The shares hold to within one draw; the order is random.
    """
    places: dict[str, list[int]] = {}
    for i, task in enumerate(tasks):
        places.setdefault(task, []).append(i)
    chance = random.Random(seed)
    total = sum(len(p) ** mix for p in places.values())
    exact = {t: count * len(p) ** mix / total for t, p in places.items()}
    quota = {t: int(x) for t, x in exact.items()}
    rest = sorted(exact, key=lambda t: (quota[t] - exact[t], t))
    for task in rest[: count - sum(quota.values())]:
        quota[task] += 1
    order = [t for t in sorted(quota) for _ in range(quota[t])]
    chance.shuffle(order)
    waiting: dict[str, list[int]] = {t: [] for t in places}
    for task in order:
        if not waiting[task]:
            waiting[task] = list(places[task])
            chance.shuffle(waiting[task])
        yield waiting[task].pop()


def fit(
    model: Any,
    encoder: Encoder,
    conversations: Sequence[Conversation],
    settings: FitSettings,
    say: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> FitFacts:
    """Train the parameters of `model` that require a gradient; the others are not touched.

    Args:
        model: of `attach`, or of `adapters.insert` to go on with an adapter.
        say: is told step, steps and the step's loss.

    Raises:
        TrainingError: nothing to train on, or a loss that is no number. ConversationError, ChatError: a picture is missing
            or is none.
    """
    import torch

    if not conversations:
        raise TrainingError("no conversation to train on")
    wanted = [p for p in model.parameters() if p.requires_grad]
    steps = settings.steps or max(1, math.ceil(settings.epochs * len(conversations) / settings.batch))
    optimizer = torch.optim.AdamW(wanted, lr=settings.rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, settings.warmup))
    network = model.get_base_model()
    asked = settings.checkpointing
    checkpointing = network.device.type == "cuda" if asked is None else asked
    if checkpointing:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    order = draws([c.task for c in conversations], steps * settings.batch, settings.mix, settings.seed)
    drawn: Counter[str] = Counter()
    losses: list[float] = []
    too_long: set[str] = set()
    torch.manual_seed(settings.seed)
    model.train()
    try:
        for step in range(steps):
            chosen = []
            for _ in range(settings.batch):
                conversation = conversations[next(order)]
                try:
                    chosen.append((conversation, encoder.encode(conversation)))
                except TooLongError:
                    too_long.add(conversation.id)
            weight = sum(c.weight for c, _ in chosen)
            loss = 0.0
            for conversation, example in chosen:
                found = nll(network, example, grad=True)
                mean = found[torch.tensor(example.scored, device=found.device)].mean()
                (mean * (conversation.weight / weight)).backward()
                loss += float(mean.detach()) * conversation.weight / weight
                drawn[conversation.task] += 1
            if not chosen:
                continue
            if not math.isfinite(loss):
                raise TrainingError(f"the loss is {loss} in step {step + 1}; lower rate ({settings.rate:g})")
            torch.nn.utils.clip_grad_norm_(wanted, settings.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
            losses.append(loss)
            say(step + 1, steps, loss)
    finally:
        if checkpointing:
            network.gradient_checkpointing_disable()
        model.eval()
    if not losses:
        raise TrainingError(f"all {len(too_long)} conversations are too long; raise max_tokens")
    return FitFacts(
        len(losses),
        dict(sorted(drawn.items())),
        len(too_long),
        losses[0],
        losses[-1],
        sum(p.numel() for p in wanted),
    )


def _rate(step: int, steps: int, warmup: float) -> float:
    """Share of the peak rate: up in a line, then down to a tenth by half a cosine."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, done)))
