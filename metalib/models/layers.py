"""The layers of convolutional networks, with derivatives that waste nothing: first ones, and second ones for
Hessian-vector products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

if TYPE_CHECKING:
    from jaxtyping import Float

BATCH_NORM_EPS = 1e-3


def convolution(
    hidden: Float[Tensor, "batch channels height width"],
    kernel: Float[Tensor, "outputs inputs 3 3"],
    bias: Float[Tensor, " outputs"],
    stride: int,
    padding: int,
    groups: int,
) -> Float[Tensor, "batch outputs height_out width_out"]:
    """Return `F.conv2d` of these, where `hidden` is the data itself without any derivative by it."""
    convolve = F.conv2d if hidden.requires_grad else _OfData.apply
    return convolve(hidden, kernel, bias, (stride, stride), (padding, padding), (1, 1), groups)


class _OfData(Function):
    """A convolution of data: PyTorch's second derivative would also find what the first is by the data."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor, *how: Any) -> Any:
        ctx.save_for_backward(x, kernel)
        ctx.how = how
        return F.conv2d(x, kernel, bias, *how)

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        return None, *_OfDataBackward.apply(*g, *ctx.saved_tensors, *ctx.how), *[None] * 4


class _OfDataBackward(Function):
    """From the gradient g by the outputs, those by kernel and bias. Both are linear in g."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, kernel: Tensor, *how: Any) -> Any:
        ctx.save_for_backward(x)
        ctx.how = how
        rest = (*how[:3], False, (0, 0), how[3], (False, True, False))
        # By bias it is a plain sum, which the kernel would take a quarter to half of its time for.
        return torch.ops.aten.convolution_backward(g, x, kernel, None, *rest)[1], g.sum((0, 2, 3))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor, v: Tensor) -> Any:
        """Return the derivative of ⟨u, by_kernel⟩ + ⟨v, by_bias⟩ by g."""
        return F.conv2d(ctx.saved_tensors[0], u, v, *ctx.how), *[None] * 6


def batch_norm(
    hidden: Float[Tensor, "batch channels height width"],
    gamma: Float[Tensor, "runs filters"],
    beta: Float[Tensor, "runs filters"],
) -> Float[Tensor, "batch channels height width"]:
    """Normalize every channel by its mean and (biased) variance over the batch and all positions.

    PyTorch's own adds the numbers of a channel up one after the other where channels are last in memory. Many
    alike, as on blank paper, round badly then, ReLUs flip, and after a few inner steps gradients can be off
    by a tenth and more. So mean and variance are taken here, with sums that round well.
    """
    return _Normalization.apply(hidden, gamma.flatten(), beta.flatten())


class _Normalization(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor) -> Any:
        mean = x.mean((0, 2, 3))
        variance = (x - mean.view(1, -1, 1, 1)).square_().mean((0, 2, 3))
        s = variance.add_(BATCH_NORM_EPS).rsqrt_()
        scale = gamma * s
        ctx.save_for_backward(x, gamma, mean, s)
        return torch.addcmul((beta - mean * scale).view(1, -1, 1, 1), x, scale.view(1, -1, 1, 1))

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        return _NormalizationBackward.apply(*g, *ctx.saved_tensors)


class _NormalizationBackward(Function):
    """From the gradient g by y = γ x̂ + β, x̂ = s (x − mean), those by x, γ and β.

    By x it is γ s P g with P g = g − mean(g) − x̂ mean(g x̂). P is symmetric, so that one kernel serves twice.
    """

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Any:
        by_x, g_x, g_1 = _backward(*given)
        ctx.save_for_backward(*given, g_x, g_1)
        return by_x, g_x, g_1

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor, v: Tensor, w: Tensor) -> Any:
        """Return the derivatives of ⟨u, by_x⟩ + ⟨v, Σ g x̂⟩ + ⟨w, Σ g⟩ by g, x and γ."""
        g, x, gamma, mean, s, g_x, g_1 = ctx.saved_tensors  # Σ g x̂, Σ g
        count, scale = x.numel() // len(gamma), gamma * s
        projected, u_x, u_1 = _backward(u, x, gamma, mean, s)
        inner = (u * g).sum((0, 2, 3)) - (u_1 * g_1 + u_x * g_x) / count  # ⟨u, P g⟩
        of_g, of_u = v - scale * u_x / count, -scale * g_x / count  # the derivative by x̂ is of_g g + of_u u
        of_x = (of_g * g_x + of_u * u_x + scale * inner) / count
        shift = of_x * s * mean - (of_g * g_1 + of_u * u_1) / count
        factors = (w - v * s * mean, v * s, s * of_g, s * of_u, -s * s * of_x, s * shift)
        a, b, c, d, e, f = (factor.view(1, -1, 1, 1) for factor in factors)
        by_x = torch.addcmul(f, g, c).addcmul_(u, d).addcmul_(x, e)
        return projected.add_(a).addcmul_(x, b), by_x, s * inner, None, None


def _backward(g: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, s: Tensor) -> Any:
    kept = (None, None, mean, s, True, BATCH_NORM_EPS, [True, True, True])
    return torch.ops.aten.native_batch_norm_backward(g, x, gamma, *kept)
