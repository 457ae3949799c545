"""How alike two representations of the same images are: linear CKA without bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metalib.errors import require

if TYPE_CHECKING:
    from jaxtyping import Float

SMALLEST = 4
"""Images below which the unbiased estimate is not defined."""


def cka(a: Float[Tensor, "tasks n p"], b: Float[Tensor, "tasks n q"]) -> Float[Tensor, " tasks"]:
    """Return the centered kernel alignment of two representations of n images, one number per task.

        CKA = HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)),   K = A Aᵀ,  L = B Bᵀ.

    1 if B is A up to a rotation, a factor and a shift; 0 on average if they have nothing to do with each
    other, also where features outnumber images, because HSIC is estimated without bias.

    Args:
        a: features of the images, one row each.
        b: the same images' other features, as many or fewer or more.

    Raises:
        InputError: if there are fewer than 4 images, or not the same number on both sides.

    Source: Kornblith et al. 2019; the unbiased estimate of HSIC is that of Song et al. 2012.

    >>> features = torch.tensor([[[0.0], [1.0], [4.0], [9.0], [16.0]]])
    >>> cka(features, 1 - 2 * features).round(decimals=9)
    tensor([1.], dtype=torch.float64)
    """
    n = a.shape[1]
    require(n == b.shape[1], f"{n} images stand against {b.shape[1]}; compare features of the same images")
    require(n >= SMALLEST, f"{n} images are too few for the unbiased estimate; give at least {SMALLEST}")
    one, two = _kernel(a), _kernel(b)
    return _hsic(one, two) / (_hsic(one, one) * _hsic(two, two)).sqrt()


def _kernel(features: Tensor) -> Float[Tensor, "tasks n n"]:
    """Return inner products of all pairs of different images."""
    wide = features.double()
    centered = wide - wide.mean(1, keepdim=True)  # a shift changes nothing but roundoff
    kernel = centered @ centered.mT
    return kernel - torch.diag_embed(kernel.diagonal(dim1=1, dim2=2))


def _hsic(one: Tensor, two: Tensor) -> Float[Tensor, " tasks"]:
    n = one.shape[1]
    trace = (one * two).sum((1, 2))
    product = one.sum((1, 2)) * two.sum((1, 2)) / ((n - 1) * (n - 2))
    rows = (one.sum(1) * two.sum(1)).sum(1)
    return (trace + product - 2 / (n - 2) * rows) / (n * (n - 3))
