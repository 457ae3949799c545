"""torch.func: gradients of functions, and `vmap` over tasks or over runs.

Weights are dictionaries that `functional_call` hands to the module; nothing is changed in place. Runs that
take different steps (methods of training) are mapped group by group.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap

from benchmarks.peers import torch_modules as modules
from benchmarks.peers.work import Entry, Images, Peer, Point, SineBatch, Training, one_run
from metalib.models.convnet import ConvNet
from metalib.tasks.family import BLOCK

State = dict[str, Tensor]


def loss_of(model: nn.Module, net: ConvNet | None = None) -> Callable[[State, Tensor, Tensor], Tensor]:
    """Return the loss as a function of (weights, inputs, targets)."""
    criterion = modules.criterion(net)
    return lambda phi, inputs, targets: criterion(functional_call(model, phi, (inputs,)), targets)


def minus(a: State, b: State, factor: float = 1.0) -> State:
    """Return a − factor · b."""
    return {name: torch.sub(a[name], b[name], alpha=factor) for name in a}


def adapted(loss: Callable[..., Tensor], phi: State, inputs: Tensor, targets: Tensor, alpha: float) -> State:
    """Return the weights after one step of SGD on each minibatch."""
    for x, y in zip(inputs.unbind(), targets.unbind(), strict=True):
        phi = minus(phi, grad(loss)(phi, x, y), alpha)
    return phi


def maml_loss(
    loss: Callable[..., Tensor], phi: State, inputs: Tensor, targets: Tensor, alpha: float
) -> Tensor:
    """Return L_k(φ_k)."""
    return loss(adapted(loss, phi, inputs[:-1], targets[:-1], alpha), inputs[-1], targets[-1])


def maml(work: SineBatch) -> Entry:
    """Return the mean of MAML's gradients over the tasks."""
    loss, x, y = loss_of(modules.loaded(work.phi)), torch.from_numpy(work.x), torch.from_numpy(work.y)
    phi = modules.to_module(work.phi)
    of_tasks = vmap(partial(maml_loss, loss, alpha=work.alpha), in_dims=(None, 0, 0))
    meta_gradient = grad(lambda phi: of_tasks(phi, x, y).mean())
    return Entry(lambda: meta_gradient(phi), lambda state: [modules.from_module(state, work.phi)])


def reptile(work: SineBatch) -> Entry:
    """Return the mean over tasks of φ_1 − φ_{k+1}."""
    loss, x, y = loss_of(modules.loaded(work.phi)), torch.from_numpy(work.x), torch.from_numpy(work.y)
    phi = modules.to_module(work.phi)
    of_tasks = vmap(partial(adapted, loss, alpha=work.alpha), in_dims=(None, 0, 0))

    def call() -> State:
        return minus(phi, {name: ends.mean(0) for name, ends in of_tasks(phi, x, y).items()})

    return Entry(call, lambda state: [modules.from_module(state, work.phi)])


def omniglot(work: Images) -> Entry:
    """Return φ after an outer step of Reptile: one run alone, or `vmap` over runs."""
    loss = loss_of(modules.loaded(work.phi[0], work.net), work.net)
    images, labels = modules.to_images(work.images), torch.from_numpy(np.ascontiguousarray(work.labels))
    runs = [modules.to_module(phi, work.net) for phi in work.phi]
    stack = {name: torch.stack([run[name] for run in runs]) for name in runs[0]}

    def step(phi: State, images: Tensor, labels: Tensor) -> State:
        end = adapted(loss, phi, images, labels, work.alpha)
        return {name: torch.lerp(phi[name], end[name], work.epsilon) for name in phi}

    def call() -> State:
        if len(runs) == 1:
            return {name: value[None] for name, value in step(runs[0], images[0], labels[0]).items()}
        return vmap(step)(stack, images, labels)

    return Entry(call, lambda state: _runs(state, work))


def _runs(state: State, work: Images) -> list[dict[str, np.ndarray]]:
    return [
        modules.from_module({name: value[run] for name, value in state.items()}, work.phi[0], work.net)
        for run in range(work.runs)
    ]


def gradient(work: Point) -> Entry:
    """Return L'(φ)."""
    model, inputs, targets = modules.prepared(work)
    phi, g = modules.to_module(work.phi, work.net), grad(loss_of(model, work.net))
    return Entry(
        lambda: g(phi, inputs, targets), lambda state: [modules.from_module(state, work.phi, work.net)]
    )


def hvp(work: Point) -> Entry:
    """Return L''(φ) v as the vector-Jacobian product of the gradient, reverse over reverse.

    `jvp` in place of `vjp`, forward over reverse, fails on the mean squared error in torch 2.13: "ZeroTensors
    are immutable".
    """
    model, inputs, targets = modules.prepared(work)
    phi, g = modules.to_module(work.phi, work.net), grad(loss_of(model, work.net))
    v = modules.to_module(work.v, work.net)

    def call() -> State:
        _, product = vjp(lambda phi: g(phi, inputs, targets), phi)
        return product(v)[0]

    return Entry(call, lambda state: [modules.from_module(state, work.phi, work.net)])


def training(work: Training) -> Entry:
    """Return the weights of all runs after training: `vmap` over the seeds of each method."""
    starts = [modules.to_module(one_run(work.family.initialize(config.seed))) for config in work.configs]
    like = one_run(work.family.initialize(0))
    loss = loss_of(modules.loaded(like))
    seeds = sorted({config.seed for config in work.configs})
    methods = list(dict.fromkeys(config.algorithm for config in work.configs))
    configs = {config.algorithm: config for config in work.configs}

    def displacement(method: str, phi: State, x: Tensor, y: Tensor) -> State:
        alpha = configs[method].alpha
        if method == "maml":
            g = grad(partial(maml_loss, loss, alpha=alpha))(phi, x, y)
            return {name: alpha * value for name, value in g.items()}
        if method == "joint":
            return minus(phi, adapted(loss, phi, x[:1], y[:1], alpha))
        if method == "fomaml":
            before = adapted(loss, phi, x[:-1], y[:-1], alpha)
            return minus(before, adapted(loss, before, x[-1:], y[-1:], alpha))
        return minus(phi, adapted(loss, phi, x, y, alpha))

    moves = {method: vmap(partial(displacement, method)) for method in methods}

    def call() -> State:
        stacks = {
            method: {
                name: torch.stack([starts[seeds.index(seed)][name] for seed in seeds]) for name in starts[0]
            }
            for method in methods
        }
        for block in range(-(-work.iterations // BLOCK)):
            arrays = [work.family.sample(seed, block, 1, configs[methods[0]].k) for seed in seeds]
            x, y = (torch.from_numpy(np.stack([one[name][:, 0] for one in arrays], 1)) for name in ("x", "y"))
            for i in range(min(BLOCK, work.iterations - block * BLOCK)):
                for method in methods:
                    phi = stacks[method]
                    epsilon = configs[method].epsilon_at(block * BLOCK + i)
                    stacks[method] = minus(phi, moves[method](phi, x[i], y[i]), epsilon)
        return {name: torch.cat([stacks[method][name] for method in methods]) for name in starts[0]}

    def found(state: State) -> list[dict[str, np.ndarray]]:
        count = range(len(work.configs))
        return [
            modules.from_module({name: value[run] for name, value in state.items()}, like) for run in count
        ]

    return Entry(call, found)


PEER = Peer(
    "torch.func",
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
