"""A plain eager loop: `torch.nn` modules and `torch.optim.SGD`, one task and one run after another.

MAML calls the module with other weights (`torch.func.functional_call`) and differentiates through the
unrolled loop; everything else is the loop that a first tutorial shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.peers import torch_modules as modules
from benchmarks.peers.loops import Batch, Loops, State
from benchmarks.peers.work import Entry, Peer, Point


def add_maml_gradient(model: nn.Module, batches: Sequence[Batch], alpha: float) -> None:
    """Add MAML's gradient of one task to the `grad` of the model's weights."""
    current = dict(model.named_parameters())
    for x, y in batches[:-1]:
        loss = F.mse_loss(functional_call(model, current, (x,)), y)
        g = torch.autograd.grad(loss, list(current.values()), create_graph=True)
        current = {name: value - alpha * gi for (name, value), gi in zip(current.items(), g, strict=True)}
    x, y = batches[-1]
    F.mse_loss(functional_call(model, current, (x,)), y).backward()


def adapt(
    model: nn.Module, batches: Sequence[Batch], alpha: float, criterion: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """Take one step of SGD on each minibatch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=alpha)
    for inputs, targets in batches:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()


def gradient(work: Point) -> Entry:
    """Return L'(φ)."""
    model, inputs, targets = modules.prepared(work)
    weights, criterion = dict(model.named_parameters()), modules.criterion(work.net)

    def call() -> State:
        g = torch.autograd.grad(criterion(model(inputs), targets), list(weights.values()))
        return dict(zip(weights, g, strict=True))

    return Entry(call, lambda state: [modules.from_module(state, work.phi, work.net)])


def hvp(work: Point) -> Entry:
    """Return L''(φ) v as the gradient of the gradient's graph."""
    model, inputs, targets = modules.prepared(work)
    weights, criterion = dict(model.named_parameters()), modules.criterion(work.net)
    v = list(modules.to_module(work.v, work.net).values())

    def call() -> State:
        loss = criterion(model(inputs), targets)
        g = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        products = torch.autograd.grad(g, list(weights.values()), v, materialize_grads=True)
        return dict(zip(weights, products, strict=True))

    return Entry(call, lambda state: [modules.from_module(state, work.phi, work.net)])


LOOPS = Loops(adapt, add_maml_gradient)
PEER = Peer(
    "plain PyTorch",
    "torch",
    {
        "maml": LOOPS.maml,
        "reptile": LOOPS.reptile,
        "omniglot": LOOPS.omniglot,
        "gradient": gradient,
        "hvp": hvp,
        "training": LOOPS.training,
    },
)
