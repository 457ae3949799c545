"""The convolutional networks of section 6, as plain functions of stacked weights.

Runs are folded into the groups of one grouped convolution: hidden layers are held as
[batch, height, width, runs · channels], every run convolves and normalizes its own channels, and a
stack of one costs no more than a plain network (`benchmarks/sweep.py` times both). Channels are last in
memory, which is faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from metalib.errors import require
from metalib.models.layers import batch_norm, convolution
from metalib.params import Params

if TYPE_CHECKING:
    from jaxtyping import Float

KERNEL = 3
LAYERS = 4


@dataclass(frozen=True)
class ConvNet:
    """Four 3×3 convolutions with batch normalization and ReLU, then one dense layer.

    Batch normalization always uses the statistics of the batch at hand, in training and in
    evaluation: what one image is classified as depends on the images beside it (Nichol et al. 2018,
    section 6.1, on transduction). There are no running averages; γ and β are weights like any other.

    Padding is TensorFlow's 'same': ⌈size / stride⌉ outputs, and where the padding is odd, the extra
    row and column lie at the bottom and at the right. The last feature maps are flattened in the
    order height, width, channel, as the authors' code does.

    Attributes:
        ways: number of classes N.
        channels: 1 for gray images, 3 for color.
        size: height and width of an image in pixels.
        filters: feature maps of every convolution.
        pooling: halve by 2×2 max-pooling between normalization and ReLU; by stride 2 if false.
        dtype: "float32" or "float64".
    """

    ways: int
    channels: int = 1
    size: int = 28
    filters: int = 64
    pooling: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        require(self.ways >= 2, f"ways is {self.ways}; a classifier needs at least 2 classes")
        require(self.dtype in ("float32", "float64"), f"dtype is {self.dtype!r}; choose float32 or float64")

    @property
    def features(self) -> int:
        """Inputs of the dense layer. Four halvings, each rounded up, leave a square of pixels per filter."""
        return math.ceil(self.size / 2**LAYERS) ** 2 * self.filters

    def footprint(self, images: int) -> int:
        """Return the bytes that one step of one run touches: weights, and what every layer leaves behind.

        Args:
            images: images of a minibatch.
        """
        item = torch.finfo(getattr(torch, self.dtype)).bits // 8
        weights = sum(math.prod(shape) for shape in self._shapes().values())
        sizes = [math.ceil(self.size / 2**i) for i in range(LAYERS + 1)]
        # A convolution and its normalization leave maps of one size; with pooling, ReLU leaves smaller ones.
        large, small = (2, 1) if self.pooling else (0, 3)
        maps = sum(large * before**2 + small * after**2 for before, after in pairwise(sizes))
        return item * (weights + images * maps * self.filters)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight of one run."""
        shapes: dict[str, tuple[int, ...]] = {}
        inputs = self.channels
        for i in range(LAYERS):
            shapes[f"conv_{i}"] = (self.filters, KERNEL, KERNEL, inputs)
            shapes |= {f"{name}_{i}": (self.filters,) for name in ("bias", "gamma", "beta")}
            inputs = self.filters
        return {**shapes, "dense": (self.features, self.ways), "dense_bias": (1, self.ways)}

    def initialize(self, seed: int) -> Params:
        """Draw the weights of one run, as a stack of one: Glorot-uniform, biases 0, γ = 1, β = 0.

        Glorot-uniform weights lie in ±√(6 / (fan_in + fan_out)). They are sampled in float64 on the host
        from `seed`, so that every device and precision starts from the same point.

        Returns:
            `{"conv_i": [1, filters, 3, 3, inputs], "bias_i", "gamma_i", "beta_i": [1, filters]}` for
            i = 0 … 3, and `{"dense": [1, features, ways], "dense_bias": [1, 1, ways]}`.
        """
        generator = torch.Generator().manual_seed(seed)
        dtype = getattr(torch, self.dtype)
        params: Params = {}
        for name, shape in self._shapes().items():
            if name == "dense" or name.startswith("conv"):
                *fan, outputs, inputs = shape if name == "dense" else (*shape[1:3], shape[0], shape[3])
                bound = math.sqrt(6.0 / (math.prod(fan) * (outputs + inputs)))
                params[name] = _uniform(generator, (1, *shape), bound).to(dtype)
            else:
                fill = 1.0 if name.startswith("gamma") else 0.0
                params[name] = torch.full((1, *shape), fill, dtype=dtype)
        return params

    def __call__(
        self, params: Params, images: Float[Tensor, "runs batch height width channels"]
    ) -> Float[Tensor, "runs batch ways"]:
        """Return the logits of every image, every run with its own weights and batch statistics."""
        return torch.baddbmm(params["dense_bias"], self.embed(params, images), params["dense"])

    def embed(
        self, params: Params, images: Float[Tensor, "runs batch height width channels"]
    ) -> Float[Tensor, "runs batch features"]:
        """Return what the dense layer sees of every image."""
        *_, hidden = self._maps(params, images)
        return self._flat(hidden, len(images))

    def layers(
        self, params: Params, images: Float[Tensor, "runs batch height width channels"]
    ) -> list[Tensor]:
        """Return what every layer leaves of every image, [runs, batch, features]; the last are the logits."""
        features = [self._flat(hidden, len(images)) for hidden in self._maps(params, images)]
        return [*features, torch.baddbmm(params["dense_bias"], features[-1], params["dense"])]

    def _maps(self, params: Params, images: Tensor) -> Iterator[Tensor]:
        """Yield the maps of one convolution after the other, [batch, runs · filters, height, width]."""
        batch = images.shape[1]
        # [batch, runs · channels, height, width] as PyTorch sees it, channels last in memory.
        hidden = images.permute(1, 2, 3, 0, 4).reshape(batch, self.size, self.size, -1).permute(0, 3, 1, 2)
        for i in range(LAYERS):
            hidden = self._convolution(hidden, params[f"conv_{i}"], params[f"bias_{i}"])
            hidden = batch_norm(hidden, params[f"gamma_{i}"], params[f"beta_{i}"])
            if self.pooling:
                hidden = F.max_pool2d(hidden, 2, ceil_mode=True)
            hidden = torch.relu(hidden)
            yield hidden

    def _flat(self, hidden: Tensor, runs: int) -> Float[Tensor, "runs batch features"]:
        """Return feature maps as one vector per run and image, in the order height, width, channel."""
        apart = hidden.permute(0, 2, 3, 1).unflatten(3, (runs, self.filters))
        return apart.permute(3, 0, 1, 2, 4).flatten(2)

    def _convolution(self, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        runs, size = len(weight), hidden.shape[-1]
        kernel = weight.flatten(0, 1).permute(0, 3, 1, 2)
        stride = 1 if self.pooling else 2
        padding = 1
        if stride == 2 and size % 2 == 0:
            hidden = F.pad(hidden, (0, 1, 0, 1))
            padding = 0
        return convolution(hidden, kernel, bias.flatten(), stride, padding, runs)


def omniglot_net(ways: int, dtype: str = "float32") -> ConvNet:
    """Return the Omniglot network: 28×28×1, 64 filters, stride 2 (Nichol et al. 2018, section 6.1).

    >>> sum(weight.numel() for weight in omniglot_net(ways=5).initialize(seed=0).values())
    113221
    """
    return ConvNet(ways, dtype=dtype)


def _uniform(generator: torch.Generator, shape: tuple[int, ...], bound: float) -> Tensor:
    return (2.0 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1.0) * bound
