"""What a Hessian-vector product costs, in gradients, and what MAML keeps in memory as k grows (section 5).

Two ways to L''(φ) v, interleaved in one run, on one thread:

    as metalib does it     `metalib.derivatives.hvp`: the gradient of the gradient, or written out (MLP)
    forward over reverse   `companion.expansion.remainders.hvp_forward_over_reverse`: dual numbers

on the sine network, on the small smooth conv net of the theory pages, and on the Omniglot network, whose
batch normalization has its second derivatives written out and no forward mode. Ratios are medians over
REPEATS of the time of a product over the time of a gradient measured beside it, in double precision.

Memory is what automatic differentiation keeps for backward passes, counted by hooks: the most bytes alive at
any moment inside `meta_gradients.maml`, against differentiating through the unrolled loop.
"""

from __future__ import annotations

import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.expansion.problems import Problem, conv_problem, omniglot_problem, sine_pool, sine_problem
from companion.expansion.remainders import hvp_forward_over_reverse, maml_by_autograd
from metalib.data.glyphs import glyphs
from metalib.derivatives import Loss, MinibatchLoss, cross_entropy, gradient, hvp
from metalib.inner import inner_loop
from metalib.meta_gradients import maml
from metalib.models import convnet, layers
from metalib.models.convnet import omniglot_net
from metalib.optimizers import SGD
from metalib.params import Params, norm, subtract

REPEATS = 15
LIMIT = 4.0
ROUTES = {"as metalib does it": hvp, "forward over reverse": hvp_forward_over_reverse}
STEPS = (2, 4, 8)


def seconds(call: Callable[[], Any], times: int) -> float:
    """Return the mean time of a call."""
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times


def cost_in_gradients(problem: Problem, times: int) -> dict[str, float]:
    """Return the time of each route's product over the time of a gradient."""
    loss, phi = problem.losses(1)[0], problem.phi
    v = gradient(loss, phi)
    routes = {name: product for name, product in ROUTES.items() if possible(product, loss, phi, v)}
    ratios: dict[str, list[float]] = {name: [] for name in routes}
    for _ in range(REPEATS):
        one = seconds(lambda: gradient(loss, phi), times)
        for name, product in routes.items():
            ratios[name].append(seconds(lambda product=product: product(loss, phi, v), times) / one)
    return {name: median(values) for name, values in ratios.items()}


def possible(product: Callable[..., Params], loss: Loss, phi: Params, v: Params) -> bool:
    """Say whether a route can be taken: derivatives that are written out have no forward mode."""
    try:
        product(loss, phi, v)
    except RuntimeError:
        return False
    return True


def most_bytes_kept(call: Callable[[], Any]) -> int:
    """Return the most bytes that autograd keeps alive for backward passes during a call.

    What several tensors share, or several backward passes keep, counts once.
    """
    alive, most = 0, 0
    times: dict[int, int] = {}
    """How often the memory at an address is kept."""

    class Kept:
        """A saved tensor, counted from when it is saved until autograd lets it go."""

        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor

    def release(address: int, size: int) -> None:
        nonlocal alive
        times[address] -= 1
        if not times[address]:
            alive -= size

    def pack(tensor: torch.Tensor) -> Kept:
        nonlocal alive, most
        memory = tensor.untyped_storage()
        address, size = memory.data_ptr(), memory.nbytes()
        times[address] = times.get(address, 0) + 1
        if times[address] == 1:
            alive += size
            most = max(most, alive)
        kept = Kept(tensor)
        weakref.finalize(kept, release, address, size)
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        call()
    return most


def memory(problem: Problem, steps: Sequence[int]) -> dict[str, list[float]]:
    """Return the megabytes kept by both ways to MAML's gradient, for each number of inner steps."""
    alpha = problem.alpha
    kept: dict[str, list[float]] = {"product of Eq. 21": [], "unrolled loop": []}
    for k in steps:
        losses: list[Loss] = list(problem.losses(k))
        phi: Params = problem.phi
        run = inner_loop(losses, phi, SGD(alpha))
        kept["product of Eq. 21"].append(most_bytes_kept(lambda run=run: maml(run)) / 1e6)
        unrolled = most_bytes_kept(lambda losses=losses, phi=phi: maml_by_autograd(losses, phi, alpha))
        kept["unrolled loop"].append(unrolled / 1e6)
    return kept


def omniglot_loss() -> MinibatchLoss:
    """Return the loss of the Omniglot network on 25 glyphs, in double precision."""
    images = glyphs().gather(torch.arange(0, 25 * 61, 61)[None]).double()
    criterion = partial(cross_entropy, reduction="sum")
    return MinibatchLoss(omniglot_net(5, "float64"), criterion, images, torch.arange(25)[None] % 5)


def rounding(loss: MinibatchLoss, phi: Params) -> dict[str, tuple[float, float]]:
    """Return relative error of a gradient in single precision, and its milliseconds, by whose sums are taken.

    Args:
        loss: of a `ConvNet`, in double precision.
        phi: its weights.
    """
    exact, normalize = gradient(loss, phi), convnet.batch_norm
    net = replace(loss.model, dtype="float32")
    single = replace(loss, model=net, inputs=loss.inputs.float())
    weights = {name: value.float() for name, value in phi.items()}
    found = {}

    def pytorchs(hidden: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        eps = layers.BATCH_NORM_EPS
        return F.batch_norm(hidden, None, None, gamma.flatten(), beta.flatten(), training=True, eps=eps)

    def contiguous(hidden: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return pytorchs(hidden.contiguous(), gamma, beta)

    ways = {"as metalib does it": normalize, "PyTorch's": pytorchs, "PyTorch's, channels first": contiguous}
    for name, way in ways.items():
        convnet.batch_norm = way
        g = {name: value.double() for name, value in gradient(single, weights).items()}
        times = [seconds(lambda: gradient(single, weights), 2) for _ in range(REPEATS)]
        found[name] = (float(norm(subtract(g, exact)) / norm(exact)), 1e3 * median(times))
    convnet.batch_norm = normalize
    return found


def main() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
    problems = {
        "sine network, 10 points": (replace(sine_problem(), pool=sine_pool(1, max(STEPS), 10)), 100),
        "small conv net, 6 images": (conv_problem(), 100),
        "Omniglot network, 25 images": (omniglot_problem(minibatches=max(STEPS)), 2),
    }
    for name, (problem, times) in problems.items():
        print(name)
        for route, ratio in cost_in_gradients(problem, times).items():
            within = f"at most {LIMIT:g}" if ratio <= LIMIT else f"more than {LIMIT:g}"
            print(f"  {route}: {ratio:.1f} gradients ({within})")
        for way, megabytes in memory(problem, STEPS).items():
            listed = ", ".join(f"k = {k}: {mb:.2f}" for k, mb in zip(STEPS, megabytes, strict=True))
            print(f"  kept for backward passes, {way}, MB: {listed}")
    loss, phi = omniglot_loss(), omniglot_net(5, "float64").initialize(0)
    for way, (error, milliseconds) in rounding(loss, phi).items():
        print(f"batch norm {way}: rounding {error:.0e} of a gradient, {milliseconds:.1f} ms each")


if __name__ == "__main__":
    main()
