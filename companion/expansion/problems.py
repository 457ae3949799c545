"""The problems on which section 5 is checked: a pool of minibatches and a point φ_1 for each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from companion.expansion.polynomial import sample_point, sample_polynomials
from metalib.derivatives import MinibatchLoss, cross_entropy
from metalib.errors import require
from metalib.models.convnet import omniglot_net
from metalib.params import Params
from metalib.rng import generator
from metalib.tasks.sine import GRID_POINTS, Sine
from metalib.theory.expectations import Pool, StackedLoss

IMAGE_SIZE = 8
CHANNELS = (1, 4, 4)
CLASSES = 3


@dataclass(frozen=True)
class Problem:
    """A pool of minibatches and the initialization φ_1 to expand at, in float64.

    Attributes:
        name: what figures call it.
        pool: the minibatches of one or more tasks.
        phi: φ_1, a stack of one.
        alpha: a step size at which the expansion is already good for k = 8; the slopes start here.
    """

    name: str
    pool: Pool
    phi: Params
    alpha: float

    def losses(self, k: int) -> list[StackedLoss]:
        """Return L_1 … L_k: the first k minibatches of the first task, stacks of one.

        Raises:
            InputError: if k is larger than the pool.
        """
        count = self.pool.minibatches
        require(k <= count, f"k is {k}; the pool of '{self.name}' holds {count} minibatches per task")
        return [self.pool.losses.select(slice(i, i + 1)) for i in range(k)]


def quadratic_problem(tasks: int = 1, minibatches: int = 8, dimension: int = 5, seed: int = 0) -> Problem:
    """Quadratic losses, whose Hessian is the same everywhere."""
    losses = sample_polynomials(seed, tasks, minibatches, dimension, degree=2)
    return Problem("quadratic", Pool(losses, tasks, minibatches), sample_point(seed, dimension), 2**-8)


def cubic_problem(tasks: int = 1, minibatches: int = 8, dimension: int = 5, seed: int = 0) -> Problem:
    """Cubic losses, whose Hessian changes along the inner loop."""
    losses = sample_polynomials(seed, tasks, minibatches, dimension, degree=3)
    return Problem("cubic", Pool(losses, tasks, minibatches), sample_point(seed, dimension), 2**-8)


def sine_pool(tasks: int, minibatches: int, batch: int, seed: int = 0, activation: str = "tanh") -> Pool:
    """Return sine tasks whose 50 grid points are permuted and cut into minibatches.

    Disjoint minibatches as long as minibatches · batch ≤ 50.
    """
    family = Sine(activation=activation, batch=batch, dtype="float64")
    sampled = family.sample(seed, 0, tasks, minibatches)
    flat = {name: torch.from_numpy(array[0].reshape(-1, batch, 1)) for name, array in sampled.items()}
    return Pool(family.loss(flat), tasks, minibatches)


def sine_problem(tasks: int = 1, minibatches: int = 8, activation: str = "tanh", seed: int = 0) -> Problem:
    """Return section 4's network 1 → 64 → 64 → 1 at its random initialization, on disjoint minibatches."""
    pool = sine_pool(tasks, minibatches, GRID_POINTS // minibatches, seed, activation)
    return Problem(f"sine, {activation}", pool, Sine(dtype="float64").initialize(seed), 2**-13)


def conv_problem(tasks: int = 1, minibatches: int = 8, batch: int = 6, seed: int = 0) -> Problem:
    """Return a small smooth convolutional classifier on synthetic images: each class is a noisy pattern."""
    rng = generator(seed, "images")
    runs = tasks * minibatches
    size = (1, IMAGE_SIZE, IMAGE_SIZE)
    patterns = torch.from_numpy(rng.normal(size=(tasks, CLASSES, *size))).repeat_interleave(minibatches, 0)
    labels = torch.arange(batch).remainder(CLASSES).expand(runs, -1)
    noise = torch.from_numpy(rng.normal(size=(runs, batch, *size)))
    images = patterns[torch.arange(runs)[:, None], labels] + noise
    losses = MinibatchLoss(conv_net, partial(cross_entropy, reduction="mean"), images, labels)
    return Problem("conv net", Pool(losses, tasks, minibatches), initialize_conv_net(seed), 2**-9)


def initialize_conv_net(seed: int) -> Params:
    """Draw the weights of `conv_net`, uniform within 1/√(inputs of a unit), as a stack of one in float64."""
    rng = generator(seed, "conv")
    features = CHANNELS[-1] * (IMAGE_SIZE // 2 ** (len(CHANNELS) - 1)) ** 2
    layers = enumerate(pairwise(CHANNELS))
    shapes: dict[str, tuple[int, ...]] = {f"conv_{i}": (fan_out, n, 3, 3) for i, (n, fan_out) in layers}
    shapes["dense"] = (features, CLASSES)
    fan_in = {name: shape[0] if name == "dense" else shape[1] * 9 for name, shape in shapes.items()}
    return {
        name: torch.from_numpy(rng.uniform(-1, 1, size=(1, *shape)) / fan_in[name] ** 0.5)
        for name, shape in shapes.items()
    }


def conv_net(params: Params, images: Tensor) -> Tensor:
    """Apply two 3×3 convolutions of stride 2 with tanh, then a dense layer; every run has its own weights.

    Args:
        params: stacked weights of R runs.
        images: shape [R, B, 1, 8, 8].

    Returns:
        Logits of shape [R, B, 3].
    """
    runs, batch = images.shape[:2]
    hidden = images.transpose(0, 1).flatten(1, 2)
    for layer in range(len(CHANNELS) - 1):
        weight = params[f"conv_{layer}"].flatten(0, 1)
        hidden = F.conv2d(hidden, weight, stride=2, padding=1, groups=runs).tanh()
    return torch.bmm(hidden.reshape(batch, runs, -1).transpose(0, 1), params["dense"])


def omniglot_problem(tasks: int = 1, minibatches: int = 4, shots: int = 5, seed: int = 0) -> Problem:
    """Return section 6.2's network and minibatches of 25 images, 5 ways, on drawings made up here.

    A class is a cubic Bézier stroke on 28×28 pixels; its drawings move the four control points a little.
    The loss is the *sum* over a minibatch, as in the authors' code, so α means what it means there.
    """
    ways, size = 5, 28
    rng = generator(seed, "strokes")
    runs = tasks * minibatches
    classes = rng.uniform(5, size - 5, size=(tasks, 1, ways, 1, 4, 2))
    points = (classes + rng.normal(scale=1.5, size=(tasks, minibatches, ways, shots, 4, 2))).reshape(-1, 4, 2)
    t = np.linspace(0, 1, 60)[:, None]
    bernstein = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    stroke = np.rint(np.einsum("pc,nci->npi", bernstein, points)).astype(int).clip(1, size - 2)
    images = np.ones((len(points), size, size))
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        images[np.arange(len(points))[:, None], stroke[..., 0] + row, stroke[..., 1] + column] = 0.0
    inputs = torch.from_numpy(images).view(runs, ways * shots, size, size, 1)
    labels = torch.arange(ways).repeat_interleave(shots).expand(runs, -1)
    network = omniglot_net(ways, dtype="float64")
    losses = MinibatchLoss(network, partial(cross_entropy, reduction="sum"), inputs, labels)
    return Problem("Omniglot network", Pool(losses, tasks, minibatches), network.initialize(seed), 2**-14)
