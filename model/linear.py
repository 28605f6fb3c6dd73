"""Linear layers that run at the processor's speed in float32 on a CPU.

torch multiplies float32 matrices with MKL, which keeps to AVX2 on processors of other makers than Intel:
half the speed of oneDNN, which torch ships too, on a Zen 5 core. Weights, gradients and state dicts are
those of nn.Linear, which also runs wherever this path does not apply.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Below this many products a call costs more than it saves.
MIN_PRODUCTS = 2**20
FAST = (
    torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias by oneDNN: float32 CPU matrices, each contiguous or the transpose of one.

    (Other strides are correct too, but a thousand times slower.) Not differentiable.
    """
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def applies(*tensors: Tensor) -> bool:
    """Whether `product` takes these: plain float32 tensors on a CPU, outside of compiled code."""
    return (
        FAST
        and not torch.compiler.is_compiling()
        and all(
            type(t) in (Tensor, nn.Parameter) and t.dtype == torch.float32 and t.device.type == "cpu"
            for t in tensors
        )
        and not torch.is_autocast_enabled("cpu")
    )


def _transposed(grad: Tensor, x: Tensor) -> Tensor:
    """grad^T x [out, in]. The wider side last: the kernel takes twice as long the other way."""
    if grad.shape[1] > x.shape[1]:
        return compiled_product(x.t(), grad.t()).t().contiguous()
    return compiled_product(grad.t(), x.t())


class _Product(torch.autograd.Function):
    """`product` with gradients by the same kernels."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return product(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        need_x, need_weight, need_bias = ctx.needs_input_grad
        return (
            product(grad, weight.t()) if need_x else None,
            product(grad.t(), x.t()) if need_weight else None,
            grad.sum(0) if ctx.has_bias and need_bias else None,
        )


@torch.library.custom_op("zcurate::product", mutates_args=())
def compiled_product(x: Tensor, weight: Tensor) -> Tensor:
    """`product` as one operation of compiled code, whose own products go to MKL."""
    return product(x, weight)


@compiled_product.register_fake
def _(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0])


def _keep(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, weight = ctx.saved_tensors
    grad = grad.contiguous()
    need_x, need_weight = ctx.needs_input_grad
    return (
        compiled_product(grad, weight.t()) if need_x else None,
        _transposed(grad, x) if need_weight else None,
    )


compiled_product.register_autograd(_backward, setup_context=_keep)


class Linear(nn.Linear):
    """nn.Linear; on a CPU in float32, large products go to oneDNN."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 2 and torch.compiler.is_compiling() and self._compiled_applies(x):
            out = compiled_product(x.contiguous(), self.weight)
            return out if self.bias is None else out + self.bias
        if x.ndim != 2 or x.numel() * self.out_features < MIN_PRODUCTS or not applies(x, self.weight):
            return F.linear(x, self.weight, self.bias)
        return _Product.apply(x.contiguous(), self.weight, self.bias)

    def _compiled_applies(self, x: Tensor) -> bool:
        return (
            FAST
            and x.dtype == torch.float32
            and self.weight.dtype == torch.float32
            and x.device.type == "cpu"
        )
