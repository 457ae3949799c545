"""Only the matrix products or convolutions of the work, as PyTorch does them: no library can be far below.

They are done one after another in the shapes of the stacked work, with nothing in between; what is computed
means nothing. The first layer has no derivative by its input.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from benchmarks.peers.work import Entry, Images, Peer, Point, SineBatch, Training, Weights
from metalib.models.convnet import ConvNet
from metalib.models.mlp import SINE_WIDTHS


def nothing(_: object) -> list[Weights]:
    """Return no weights: there is nothing to compare."""
    return []


def perceptron(stack: int, points: int, gradients: float, products: float = 0) -> list[Callable[[], Tensor]]:
    """Return the matrix products of so many gradients and Hessian-vector products of a stack.

    A gradient takes three per layer; a Hessian-vector product six more, see `costs.hvp_flops`.
    """
    calls: list[Callable[[], Tensor]] = []
    for layer, (inputs, outputs) in enumerate(pairwise(SINE_WIDTHS)):
        h, w = torch.rand(stack, points, inputs), torch.rand(stack, inputs, outputs)
        delta = torch.rand(stack, points, outputs)
        forward, by_weight, by_input = (
            partial(torch.bmm, a, b) for a, b in ((h, w), (h.mT, delta), (delta, w.mT))
        )
        if layer == 0:
            calls += [forward, by_weight] * round(gradients + products)
        else:
            calls += [forward, by_weight, by_input] * round(gradients + 2 * products)
    return calls


def convolutional(net: ConvNet, runs: int, batch: int, gradients: int) -> list[Callable[[], object]]:
    """Return the convolutions of so many gradients of a stack, and the derivatives of both operands."""
    calls: list[Callable[[], object]] = []
    size, inputs = net.size, net.channels
    for layer in range(4):
        stride = 1 if net.pooling else 2
        padding, padded = (0, size + 1) if stride == 2 and size % 2 == 0 else (1, size)
        images = torch.rand(batch, inputs * runs, padded, padded).to(memory_format=torch.channels_last)
        kernel = torch.rand(net.filters * runs, inputs, 3, 3).to(memory_format=torch.channels_last)
        bias = torch.rand(net.filters * runs)
        shape = ([stride, stride], [padding, padding], [1, 1], False, [0, 0], runs)
        forward = partial(torch.ops.aten.convolution, images, kernel, bias, *shape)
        asked = [layer > 0, True, True]
        backward = partial(
            torch.ops.aten.convolution_backward, forward(), images, kernel, list(bias.shape), *shape, asked
        )
        calls += [forward, backward] * gradients
        size, inputs = math.ceil(size / 2), net.filters
    return calls


def entry(calls: list[Callable[[], object]]) -> Entry:
    """Return what does all calls, one after another."""

    def call() -> None:
        for each in calls:
            each()

    return Entry(call, nothing)


def maml(work: SineBatch) -> Entry:
    """Return the products of k gradients and k − 1 Hessian-vector products of all tasks."""
    return entry(perceptron(work.tasks, work.x.shape[2], work.k, work.k - 1))


def reptile(work: SineBatch) -> Entry:
    """Return the products of k gradients of all tasks."""
    return entry(perceptron(work.tasks, work.x.shape[2], work.k))


def omniglot(work: Images) -> Entry:
    """Return the convolutions of k gradients of all runs."""
    return entry(convolutional(work.net, work.runs, work.images.shape[2], work.k))


def gradient(work: Point) -> Entry:
    """Return the products or convolutions of a gradient."""
    if work.net is None:
        return entry(perceptron(1, len(work.inputs), 1))
    return entry(convolutional(work.net, 1, len(work.inputs), 1))


def hvp(work: Point) -> Entry:
    """Return the products of a gradient and a Hessian-vector product, or three times its convolutions."""
    if work.net is None:
        return entry(perceptron(1, len(work.inputs), 1, 1))
    return entry(convolutional(work.net, 1, len(work.inputs), 3))


def training(work: Training) -> Entry:
    """Return the products of all runs, stacked over runs, in every outer iteration."""
    runs, k = len(work.configs), work.configs[0].k
    gradients = sum(1 if config.algorithm == "joint" else k for config in work.configs) / runs
    products = sum(k - 1 for config in work.configs if config.algorithm == "maml") / runs
    return entry(perceptron(runs, work.family.batch, gradients, products) * work.iterations)


PEER = Peer(
    "products alone",
    "torch",
    {
        "maml": maml,
        "reptile": reptile,
        "omniglot": omniglot,
        "gradient": gradient,
        "hvp": hvp,
        "training": training,
    },
)
