"""What the work costs at the least: FLOPs, and bytes of weights that have to move.

FLOPs count matrix products and convolutions only, two for a multiplication with its addition. Every gradient
step of a run reads weights and writes new ones; every Hessian-vector product reads weights and a direction,
and writes another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.peers.work import Images, Point, SineBatch, one_run
from metalib.models.convnet import ConvNet
from metalib.models.mlp import SINE_WIDTHS


@dataclass(frozen=True)
class Layer:
    """A matrix product [rows, inputs] · [inputs, outputs], which a convolution is, too."""

    rows: int
    inputs: int
    outputs: int

    @property
    def flops(self) -> float:
        """FLOPs of the product."""
        return 2.0 * self.rows * self.inputs * self.outputs


def mlp_layers(rows: int) -> list[Layer]:
    """Return the layers of the sine network on so many points."""
    return [Layer(rows, inputs, outputs) for inputs, outputs in pairwise(SINE_WIDTHS)]


def conv_layers(net: ConvNet, batch: int) -> list[Layer]:
    """Return the layers of a convolutional network on so many images."""
    layers, size, inputs = [], net.size, net.channels
    for _ in range(4):
        halved = math.ceil(size / 2)
        pixels = size if net.pooling else halved
        layers.append(Layer(batch * pixels**2, 9 * inputs, net.filters))
        size, inputs = halved, net.filters
    return [*layers, Layer(batch, net.features, net.ways)]


def gradient_flops(layers: list[Layer]) -> float:
    """Return the FLOPs of a gradient: three products per layer, two in the first, whose input has none."""
    return sum(3 * layer.flops for layer in layers) - layers[0].flops


def hvp_flops(layers: list[Layer]) -> float:
    """Return the FLOPs that a Hessian-vector product adds to the gradient at the same place.

    Per layer, two products on the way forward (h V and ḣ W), two for the derivative by the weights (ḣᵀδ and
    hᵀδ̇), two for the derivative by the inputs (δ̇Wᵀ and δVᵀ). The first layer has one, one and none.
    """
    return sum(6 * layer.flops for layer in layers) - 4 * layers[0].flops


def counted(name: str, work: Any) -> tuple[list[Layer], int, int, int]:
    """Return the layers of one network, its number of weights, and how many gradients and products are taken.

    Args:
        name: of the work; "maml" and "hvp" take Hessian-vector products.
        work: what is done.
    """
    if isinstance(work, SineBatch):
        products = work.tasks * (work.k - 1) if name == "maml" else 0
        return mlp_layers(work.x.shape[2]), size_of(work.phi), work.tasks * work.k, products
    if isinstance(work, Images):
        return conv_layers(work.net, work.images.shape[2]), size_of(work.phi[0]), work.runs * work.k, 0
    if isinstance(work, Point):
        points = len(work.inputs)
        layers = mlp_layers(points) if work.net is None else conv_layers(work.net, points)
        return layers, size_of(work.phi), 1, int(name == "hvp")
    gradients = sum(1 if config.algorithm == "joint" else config.k for config in work.configs)
    products = sum(config.k - 1 for config in work.configs if config.algorithm == "maml")
    size = size_of(one_run(work.family.initialize(0)))
    return mlp_layers(work.family.batch), size, work.iterations * gradients, work.iterations * products


def least(name: str, work: Any) -> Iterator[dict[str, Any]]:
    """Yield the FLOPs and the bytes of a work, as rows of the table."""
    layers, size, gradients, products = counted(name, work)
    flops = gradients * gradient_flops(layers) + products * hvp_flops(layers)
    yield {"library": "floor", "quantity": "FLOP", "value": flops}
    yield {"library": "floor", "quantity": "bytes", "value": 4 * size * (2.0 * gradients + 3.0 * products)}


def size_of(phi: dict[str, Any]) -> int:
    """Return how many weights there are."""
    return sum(value.size for value in phi.values())
