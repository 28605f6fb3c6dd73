"""One or many processes: who they are, what they tell each other, and how a model is spread over them.

The model file knows nothing of this. Order matters: checkpoint activations, compile blocks, then shard.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
import torch.utils.deterministic
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..layers import Block
from ..model import S3DiT

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Group:
    """The processes of a run. `control` carries numbers on the CPU, `storage` is for checkpoints alone.

    Both are gloo, so that a background write never meets the collectives of a step.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    control: dist.ProcessGroup | None = None
    storage: dist.ProcessGroup | None = None

    def gather(self, values: list[int]) -> list[list[int]]:
        """The whole numbers (64 bits) of every rank; lists may differ in length."""
        if self.control is None:
            return [values]
        counts = torch.zeros(self.world, dtype=torch.int64)
        counts[self.rank] = len(values)
        dist.all_reduce(counts, group=self.control)
        longest = int(counts.max())
        own = torch.zeros(longest, dtype=torch.int64)
        own[: len(values)] = torch.tensor(values, dtype=torch.int64)
        everyone = [torch.empty_like(own) for _ in range(self.world)]
        dist.all_gather(everyone, own, group=self.control)
        return [x[:n].tolist() for x, n in zip(everyone, counts.tolist(), strict=True)]

    def total(self, values: Tensor) -> Tensor:
        """Sum over ranks of a tensor on the CPU."""
        if self.control is not None:
            dist.all_reduce(values, group=self.control)
        return values

    def largest(self, value: float) -> float:
        """The largest value of any rank."""
        if self.control is None:
            return value
        tensor = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self.control)
        return float(tensor)

    def barrier(self) -> None:
        if self.control is not None:
            dist.barrier(group=self.control)


def join(device: str = "auto", sharded: bool = False) -> Group:
    """The group of this run: that of torchrun or Ray Train if there is one, else this process alone.

    sharded: make a group even for one process (mixed precision is a matter of sharding, see `shard`).
    """
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    local = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            dist.init_process_group("nccl" if cuda else "gloo")
        elif sharded:
            dist.init_process_group("nccl" if cuda else "gloo", store=dist.HashStore(), rank=0, world_size=1)
        else:
            return Group(device=local)
    return Group(
        dist.get_rank(),
        dist.get_world_size(),
        local,
        dist.new_group(backend="gloo"),
        dist.new_group(backend="gloo"),
    )


def blocks(model: S3DiT) -> list[Block]:
    return [module for module in model.modules() if isinstance(module, Block)]


def checkpoint_activations(model: S3DiT) -> None:
    """Keep only the input of every block, and compute the rest again in the backward pass."""
    for block in blocks(model):
        forward = block.forward
        block.forward = lambda *args, run=forward: (
            checkpoint(run, *args, use_reentrant=False) if torch.is_grad_enabled() else run(*args)
        )


def compile_blocks(model: S3DiT, fixed: bool = False) -> None:
    """Compile what a block does, hooks of sharding left outside; one compilation serves all layers.

    fixed: batches of few different shapes, each of which is compiled by itself.
    """
    for block in blocks(model):
        block._run = torch.compile(block._run, dynamic=not fixed)


def shard(model: S3DiT, group: Group, precision: str = "fp32", frozen: bool = False) -> S3DiT:
    """FSDP2 around every block and the whole, in place: fp32 weights and sums, products in `precision`.

    Inputs are not cast: times and positions do not survive bfloat16, and the layers cast by themselves.
    A model of one process in fp32 stays as it is.
    """
    if group.control is None and precision == "fp32":
        return model
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(group.device.type, (group.world,))
    policy = MixedPrecisionPolicy(DTYPES[precision], torch.float32, cast_forward_inputs=False)
    for block in steady_blocks(model):
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=frozen)
    return model


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Inside, several CPU threads add gradients up in one order; torch's default depends on which is first.

    Without it a resumed run differs in the last bit now and then. One thread, and GPUs, need or get nothing.
    """
    if device.type != "cpu" or torch.get_num_threads() == 1:
        yield
        return
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = fill


def anchor(model: nn.Module) -> Tensor:
    """0, with a zero gradient for every trained weight outside of the blocks.

    Pads and reference tokens are in some batches only, and ranks that disagree on which weights have
    gradients cannot add them up. To be added to a loss after the forward pass.
    """
    outside = [p for p in outer_parameters(model) if p.requires_grad]
    return sum(
        (p.reshape(-1)[:1].float().sum() * 0 for p in outside),
        torch.zeros((), device=next(model.parameters()).device),
    )


def outer_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Weights that are sharded with the whole: all but those of blocks that every batch runs."""
    inner = {id(p) for block in steady_blocks(model) for p in block.parameters()}
    return [p for p in model.parameters() if id(p) not in inner]


def steady_blocks(model: S3DiT) -> list[Block]:
    """Blocks that run in every forward pass: not those of SigLIP tokens, which only some batches have."""
    return [*model.noise_refiner, *model.context_refiner, *model.layers]


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a sharded tensor; any other as it is."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def whole(tensor: Tensor) -> Tensor:
    """All of a sharded tensor, on every rank; any other as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
