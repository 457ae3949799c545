"""The work that every library is given, weights and data as plain arrays, and what a library is.

Weights are those of one network, named and shaped as metalib does, without the axis of runs: `weight_i`
[inputs, outputs] and `bias_i` of a multilayer perceptron; `conv_i` [filters, 3, 3, inputs], `bias_i`,
`gamma_i`, `beta_i`, `dense` [features, ways], `dense_bias` of a convolutional network, features in the order
height, width, channel. Numbers are float32, or float64 where a check asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from metalib.data.glyphs import glyphs
from metalib.models.convnet import ConvNet
from metalib.params import Params
from metalib.tasks.fewshot import FewShot
from metalib.tasks.sine import Sine
from metalib.training.config import TrainingConfig

Weights = dict[str, np.ndarray]


class UnableError(Exception):
    """A library cannot do a piece of work in the way that is asked for."""


class Entry(NamedTuple):
    """One library at one piece of work.

    Attributes:
        call: does the work once and returns when it is done; this is what is timed.
        found: turns what `call` returns into weights, one per run; this is compared, and never timed.
    """

    call: Callable[[], Any]
    found: Callable[[Any], list[Weights]]


@dataclass(frozen=True)
class Peer:
    """A library, or a way to use it.

    Attributes:
        name: what the table calls it.
        package: the distribution whose version counts.
        works: what it does, by the name of the work: maps the work to an `Entry`.
        compiles: whether the first call compiles.
        double: a context in which it computes in double precision; nothing if that would have to be compiled
            again, for minutes. Such a peer is compared with the others in single precision alone.
    """

    name: str
    package: str
    works: Mapping[str, Callable[[Any], Entry]]
    compiles: bool = False
    double: Callable[[], AbstractContextManager[Any]] | None = nullcontext


@dataclass(frozen=True)
class SineBatch:
    """A batch of sine tasks for one meta-gradient of the network 1 → 64 → 64 → 1 with tanh.

    Attributes:
        phi: φ_1.
        x: inputs, [tasks, k, points, 1].
        y: targets, [tasks, k, points, 1].
        alpha: inner step size α of plain SGD.
    """

    phi: Weights
    x: np.ndarray
    y: np.ndarray
    alpha: float = 0.02

    @property
    def tasks(self) -> int:
        """Tasks of the batch; the meta-gradient is their mean."""
        return len(self.x)

    @property
    def k(self) -> int:
        """Minibatches per task."""
        return self.x.shape[1]


@dataclass(frozen=True)
class Images:
    """Minibatches of images for an outer step of Reptile, for each of R runs.

    Attributes:
        net: the network, in metalib's words; a peer reads its sizes.
        phi: weights of every run.
        images: [runs, k, batch, size, size, channels].
        labels: [runs, k, batch].
        alpha: inner step size α of plain SGD on the summed loss.
        epsilon: outer step size ε.
    """

    net: ConvNet
    phi: list[Weights]
    images: np.ndarray
    labels: np.ndarray
    alpha: float = 0.003
    epsilon: float = 0.25

    @property
    def runs(self) -> int:
        """Independent runs."""
        return len(self.phi)

    @property
    def k(self) -> int:
        """Inner steps."""
        return self.images.shape[1]


@dataclass(frozen=True)
class Training:
    """Sine training: twelve runs, four methods and three seeds, as in Figure 1; sampling included.

    Attributes:
        configs: the runs; see `metalib.training.config.TrainingConfig`.
        family: samples the minibatches of a block of outer iterations, for everyone alike.
    """

    configs: tuple[TrainingConfig, ...]
    family: Sine

    @property
    def iterations(self) -> int:
        """Outer iterations."""
        return self.configs[0].iterations


@dataclass(frozen=True)
class Point:
    """A network, one minibatch, and a direction, for a gradient and a Hessian-vector product.

    Attributes:
        name: what the table calls the network.
        net: the convolutional network, or nothing for the multilayer perceptron.
        phi: where it stands.
        v: the direction.
        inputs: the minibatch, [points, 1] or [batch, size, size, channels].
        targets: [points, 1], or labels [batch].
    """

    name: str
    net: ConvNet | None
    phi: Weights
    v: Weights
    inputs: np.ndarray
    targets: np.ndarray


def one_run(stack: Params, run: int = 0) -> Weights:
    """Return the weights of one run of a stack of metalib's."""
    return {name: value[run].numpy() for name, value in stack.items()}


def in_double(value: Any) -> Any:
    """Return arrays, weights and work with float64 in place of float32."""
    if isinstance(value, np.ndarray):
        return value.astype("float64") if value.dtype == np.float32 else value
    if isinstance(value, dict):
        return {name: in_double(array) for name, array in value.items()}
    if isinstance(value, list):
        return [in_double(item) for item in value]
    if isinstance(value, Training):
        return replace(value, family=replace(value.family, dtype="float64"))
    changed = {
        name: in_double(item)
        for name, item in vars(value).items()
        if isinstance(item, np.ndarray | dict | list)
    }
    if getattr(value, "net", None) is not None:
        changed["net"] = replace(value.net, dtype="float64")
    return replace(value, **changed)


def sine_batch(tasks: int = 25, k: int = 5) -> SineBatch:
    """Return sine tasks of k minibatches of 10 points."""
    family = Sine()
    sampled = family.sample(0, 0, tasks, k)
    return SineBatch(one_run(family.initialize(0)), sampled["x"][0], sampled["y"][0])


def omniglot_images(runs: int, k: int = 4, batch: int = 25) -> Images:
    """Return 5-way minibatches of glyphs, which are as large as Omniglot's images, as in section 6.2."""
    family = FewShot(glyphs(), ways=5, shots=batch * k // 5, batch=batch, scheme="disjoint")
    seeds = range(1, runs + 1)
    sampled = [family.sample(seed, 0, 1, k) for seed in seeds]
    images = [family.pool.gather(torch.from_numpy(one["image"][0, 0])).numpy() for one in sampled]
    labels = [one["label"][0, 0] for one in sampled]
    phi = [one_run(family.initialize(seed)) for seed in seeds]
    return Images(family.net, phi, np.stack(images), np.stack(labels))


def sine_training(iterations: int) -> Training:
    """Return the training of four methods and three seeds for `iterations` outer iterations.

    Args:
        iterations: T; ε falls to its last value within them.
    """
    epsilon = {"reptile": 0.1, "fomaml": 0.5, "maml": 0.5, "joint": 0.5}
    configs = tuple(
        TrainingConfig(algorithm=algorithm, epsilon=size, seed=seed, iterations=iterations)
        for algorithm, size in epsilon.items()
        for seed in range(3)
    )
    return Training(configs, Sine())


def points() -> list[Point]:
    """Return a minibatch and a direction for each of metalib's three networks."""
    rng = np.random.default_rng(0)
    sine, omniglot = sine_batch(1, 1), omniglot_images(1, 1)
    miniimagenet = ConvNet(5, channels=3, size=84, filters=32, pooling=True)
    pictures = rng.normal(size=(10, 84, 84, 3)).astype("float32")
    found = [
        ("sine network, 10 points", None, sine.phi, sine.x[0, 0], sine.y[0, 0]),
        (
            "Omniglot network, 25 images",
            *(omniglot.net, omniglot.phi[0], omniglot.images[0, 0], omniglot.labels[0, 0]),
        ),
        (
            "Mini-ImageNet network, 10 images",
            *(miniimagenet, one_run(miniimagenet.initialize(0)), pictures, np.arange(10) % 5),
        ),
    ]
    return [
        Point(name, net, phi, _direction(rng, phi), inputs, targets)
        for name, net, phi, inputs, targets in found
    ]


def _direction(rng: np.random.Generator, phi: Weights) -> Weights:
    return {name: rng.normal(size=value.shape).astype("float32") for name, value in phi.items()}
