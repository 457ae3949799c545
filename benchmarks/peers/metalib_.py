"""metalib: stacks of tasks and runs, eager."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from benchmarks.peers.work import Entry, Images, Peer, Point, SineBatch, Training, Weights, one_run
from metalib.derivatives import MinibatchLoss, cross_entropy
from metalib.derivatives import gradient as gradient_of
from metalib.derivatives import hvp as hvp_of
from metalib.inner import adapt, inner_loop
from metalib.meta_gradients import maml as maml_of
from metalib.optimizers import SGD
from metalib.params import Params, add_scaled, mean_of_groups, repeat, subtract
from metalib.tasks.sine import Sine
from metalib.training.loop import train


def stack_of(runs: list[Weights]) -> Params:
    """Return the weights of several runs as a stack; biases of a perceptron keep an axis for the points."""
    return {name: torch.from_numpy(np.stack([run[name] for run in runs])) for name in runs[0]}


def runs_of(stack: Params) -> list[Weights]:
    """Return the weights of every run of a stack."""
    count = len(next(iter(stack.values())))
    return [one_run(stack, run) for run in range(count)]


def sine_losses(work: SineBatch) -> list[MinibatchLoss]:
    """Return L_1 … L_k over the stacked tasks."""
    x, y = torch.from_numpy(work.x), torch.from_numpy(work.y)
    return [Sine().loss({"x": x[:, i].contiguous(), "y": y[:, i].contiguous()}) for i in range(work.k)]


def image_losses(work: Images) -> list[MinibatchLoss]:
    """Return L_1 … L_k over the stacked runs."""
    images, labels = torch.from_numpy(work.images), torch.from_numpy(work.labels)
    criterion = partial(cross_entropy, reduction="sum")
    return [
        MinibatchLoss(work.net, criterion, images[:, i].contiguous(), labels[:, i].contiguous())
        for i in range(work.k)
    ]


def maml(work: SineBatch) -> Entry:
    """Return the mean of MAML's gradients over the tasks."""
    phi, losses = stack_of([work.phi]), sine_losses(work)

    def call() -> Params:
        trajectory = inner_loop(losses, repeat(phi, work.tasks), SGD(work.alpha))
        return mean_of_groups(maml_of(trajectory), work.tasks)

    return Entry(call, runs_of)


def reptile(work: SineBatch) -> Entry:
    """Return the mean over tasks of φ_1 − φ_{k+1}."""
    phi, losses = stack_of([work.phi]), sine_losses(work)

    def call() -> Params:
        ends = adapt(losses, repeat(phi, work.tasks), SGD(work.alpha))
        return subtract(phi, mean_of_groups(ends, work.tasks))

    return Entry(call, runs_of)


def omniglot(work: Images) -> Entry:
    """Return φ after an outer step of Reptile, all runs as one stack."""
    phi, losses = stack_of(work.phi), image_losses(work)

    def call() -> Params:
        displacement = subtract(phi, adapt(losses, phi, SGD(work.alpha)))
        return add_scaled(phi, displacement, -work.epsilon)

    return Entry(call, runs_of)


def point_loss(work: Point) -> MinibatchLoss:
    """Return the loss of a network on its minibatch, for a stack of one."""
    inputs, targets = torch.from_numpy(work.inputs)[None], torch.from_numpy(work.targets)[None]
    if work.net is None:
        return Sine().loss({"x": inputs, "y": targets})
    return MinibatchLoss(work.net, partial(cross_entropy, reduction="sum"), inputs, targets)


def gradient(work: Point) -> Entry:
    """Return L'(φ)."""
    loss, phi = point_loss(work), stack_of([work.phi])
    return Entry(lambda: gradient_of(loss, phi), runs_of)


def hvp(work: Point) -> Entry:
    """Return L''(φ) v."""
    loss, phi, v = point_loss(work), stack_of([work.phi]), stack_of([work.v])
    return Entry(lambda: hvp_of(loss, phi, v), runs_of)


def training(work: Training) -> Entry:
    """Return the weights of all runs after training, as one stack."""
    return Entry(lambda: train(work.family, work.configs).phi, runs_of)


PEER = Peer(
    "metalib",
    "metalib",
    {
        "maml": maml,
        "reptile": reptile,
        "omniglot": omniglot,
        "gradient": gradient,
        "hvp": hvp,
        "training": training,
    },
)
