"""TorchOpt: differentiable optimizers for PyTorch.

MAML is written as in the library's few-shot example: `MetaSGD` moves the module, whose weights are recovered
after each task. Where no second derivatives are wanted, `torchopt.SGD` takes the place of `torch.optim.SGD`.
Its functional optimizers can also stand below `torch.func.vmap`; what that gains, `torch_func.py` shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
import torchopt
from torch import Tensor, nn

from benchmarks.peers.loops import Batch, Loops
from benchmarks.peers.work import Peer


def add_maml_gradient(model: nn.Module, batches: Sequence[Batch], alpha: float) -> None:
    """Add MAML's gradient of one task to the `grad` of the model's weights."""
    start = torchopt.extract_state_dict(model, by="reference", detach_buffers=True)
    optimizer = torchopt.MetaSGD(model, lr=alpha)
    for x, y in batches[:-1]:
        optimizer.step(F.mse_loss(model(x), y))
    x, y = batches[-1]
    loss = F.mse_loss(model(x), y)
    torchopt.recover_state_dict(model, start)
    loss.backward()


def adapt(
    model: nn.Module, batches: Sequence[Batch], alpha: float, criterion: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """Take one step of SGD on each minibatch."""
    optimizer = torchopt.SGD(model.parameters(), lr=alpha)
    for inputs, targets in batches:
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()


LOOPS = Loops(adapt, add_maml_gradient)
PEER = Peer(
    "TorchOpt",
    "torchopt",
    {
        "maml": LOOPS.maml,
        "reptile": LOOPS.reptile,
        "omniglot": LOOPS.omniglot,
        "training": LOOPS.training,
    },
)
