"""higher: a module is patched so that an optimizer's steps on it can be differentiated.

MAML is written as in the library's documentation: `copy_initial_weights=False`, and one `backward` per task.
Where no second derivatives are wanted, `track_higher_grads=False` says so. Hessian-vector products are none
of its business: a user takes PyTorch's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import higher
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.loops import Batch, Loops
from benchmarks.peers.work import Peer


def add_maml_gradient(model: nn.Module, batches: Sequence[Batch], alpha: float) -> None:
    """Add MAML's gradient of one task to the `grad` of the model's weights."""
    optimizer = torch.optim.SGD(model.parameters(), lr=alpha)
    with higher.innerloop_ctx(model, optimizer, copy_initial_weights=False) as (patched, differentiable):
        for x, y in batches[:-1]:
            differentiable.step(F.mse_loss(patched(x), y))
        x, y = batches[-1]
        F.mse_loss(patched(x), y).backward()


def adapt(
    model: nn.Module, batches: Sequence[Batch], alpha: float, criterion: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """Take one step of SGD on each minibatch, and put the weights back into the model."""
    optimizer = torch.optim.SGD(model.parameters(), lr=alpha)
    with higher.innerloop_ctx(model, optimizer, track_higher_grads=False) as (patched, differentiable):
        for inputs, targets in batches:
            differentiable.step(criterion(patched(inputs), targets))
        with torch.no_grad():
            for weight, end in zip(model.parameters(), patched.parameters(), strict=True):
                weight.copy_(end)


LOOPS = Loops(adapt, add_maml_gradient)
PEER = Peer(
    "higher",
    "higher",
    {
        "maml": LOOPS.maml,
        "reptile": LOOPS.reptile,
        "omniglot": LOOPS.omniglot,
        "training": LOOPS.training,
    },
)
