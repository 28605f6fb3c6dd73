"""Where weights are while they are not needed: on the device, or on the CPU until their turn.

- `model`: an encoder, the transformer or the decoder is on the device only while it runs.
- `sequential`: of the layer stacks, one attention or feed-forward at a time. The least memory, the slowest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .layers import Attention, FeedForward

OFFLOADS = ("model", "sequential")


def streamed_parts(module: nn.Module) -> list[nn.Module]:
    """What streams one by one: attention and feed-forward of S3-DiT, whole layers of other stacks.

    Norms and time modulations of S3-DiT stay: they are read outside of a layer's own call.
    """
    own = [part for part in module.modules() if isinstance(part, Attention | FeedForward)]
    return own or list(getattr(module, "layers", []))


def tensors_of(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


class Streams:
    """Hooks that bring parts of a module to the device for the time of their call."""

    def __init__(self, module: nn.Module, device: torch.device | str) -> None:
        self.module, self.device = module, torch.device(device)
        self.parts = streamed_parts(module)
        self.loads = 0
        self._home: dict[int, list[Tensor]] = {}
        for part in self.parts:
            part.register_forward_pre_hook(self._bring)
            part.register_forward_hook(self._release, always_call=True)

    def _bring(self, part: nn.Module, args: tuple) -> None:
        tensors = tensors_of(part)
        self._home[id(part)] = [t.data for t in tensors]
        self.loads += 1
        for tensor in tensors:
            tensor.data = tensor.data.to(self.device, non_blocking=True)

    def _release(self, part: nn.Module, args: tuple, output: object) -> None:
        # Weights do not change, so the CPU's copy is taken up again instead of copying back.
        for tensor, home in zip(tensors_of(part), self._home.pop(id(part), []), strict=False):
            tensor.data = home

    @contextmanager
    def resident(self) -> Iterator[None]:
        """Everything that does not stream is on the device inside."""
        streaming = {id(t) for part in self.parts for t in tensors_of(part)}
        fixed = [t for t in tensors_of(self.module) if id(t) not in streaming]
        homes = [t.data for t in fixed]
        for tensor in fixed:
            tensor.data = tensor.data.to(self.device)
        try:
            yield
        finally:
            for tensor, home in zip(fixed, homes, strict=True):
                tensor.data = home


@contextmanager
def resident(module: nn.Module | None, device: torch.device | str, offload: str | None, streams: dict):
    """The module is ready to run on the device inside, by the way of `offload`.

    streams: made and kept by the caller, one entry per module that streams.
    """
    if module is None:
        yield
    elif offload == "sequential" and streamed_parts(module):
        if id(module) not in streams:
            streams[id(module)] = Streams(module, device)
        with streams[id(module)].resident():
            yield
    elif offload:
        module.to(device)
        try:
            yield
        finally:
            module.to("cpu")
            if torch.device(device).type == "cuda":
                torch.cuda.empty_cache()
    else:
        module.to(device)
        yield
