"""Five ways to a meta-gradient, each with no more memory than it needs, and how their costs are measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from companion.expansion.remainders import maml_by_autograd
from companion.implicit.linear_systems import Solution, conjugate_gradients
from companion.implicit.training import Proximal
from metalib.derivatives import Loss, gradient, hvp
from metalib.errors import MetalibError, require
from metalib.inner import adapt, steps
from metalib.optimizers import SGD
from metalib.params import Params, add_scaled

UNROLLED, PRODUCTS, FOMAML, REPTILE, IMPLICIT = (
    *("MAML, unrolled", "MAML, products"),
    *("FOMAML", "Reptile", "implicit MAML"),
)
WAYS = (UNROLLED, PRODUCTS, FOMAML, REPTILE, IMPLICIT)
"""What readers call them."""
SOLVER_STEPS = 5
"""Steps of conjugate gradients, as Rajeswaran et al. 2019 take on Omniglot."""


def maml_by_products(losses: Sequence[Loss], phi: Params, alpha: float) -> Params:
    """Return MAML's gradient by Eq. 21, keeping φ_1 … φ_k and nothing else; each is let go once it is used.

    `metalib.meta_gradients.maml` works on a recorded `Trajectory`, which holds g_1 … g_k as well.
    """
    points = [phi, *(step.phi for step in steps(losses[:-1], phi, SGD(alpha)))]
    v = gradient(losses[-1], points.pop())
    for loss in reversed(losses[:-1]):
        v = add_scaled(v, hvp(loss, points.pop(), v), -alpha)
    return v


def implicit_by_steps(losses: Sequence[Loss], phi: Params, alpha: float, strength: float) -> Solution:
    """Return the implicit gradient after k − 1 proximal steps, from the last weights alone.

    The Hessian is that of one minibatch, as where the whole support set is one. Damping by one makes the
    solver take all of its steps, so that what is timed does not depend on the weights.

    Raises:
        MetalibError: if it takes fewer all the same.
    """
    last = adapt(losses[:-1], phi, Proximal(alpha, strength))
    g = gradient(losses[-1], last)

    def product(v: Params) -> Params:
        return add_scaled(v, hvp(losses[0], last, v), 1.0 / strength)

    found = conjugate_gradients(product, g, SOLVER_STEPS, 0.0, damping=1.0)
    if int(found.steps.min()) < SOLVER_STEPS:
        raise MetalibError(
            f"the solver took {int(found.steps.min())} of {SOLVER_STEPS} steps; choose another λ"
        )
    return found


def ways(losses: Sequence[Loss], phi: Params, alpha: float, strength: float) -> dict[str, Callable[[], Any]]:
    """Return what computes each meta-gradient, by the names in `WAYS`.

    Args:
        losses: L_1 … L_k.
        phi: φ_1, a stack of one.
        alpha: α.
        strength: λ of implicit MAML.

    Raises:
        InputError: if there is no loss.
    """
    require(len(losses) >= 1, "there is no loss; give k >= 1")
    return {
        UNROLLED: lambda: maml_by_autograd(losses, phi, alpha),
        PRODUCTS: lambda: maml_by_products(losses, phi, alpha),
        FOMAML: lambda: gradient(losses[-1], adapt(losses[:-1], phi, SGD(alpha))),
        REPTILE: lambda: adapt(losses, phi, SGD(alpha)),
        IMPLICIT: lambda: implicit_by_steps(losses, phi, alpha, strength),
    }


def processor_seconds(call: Callable[[], Any], times: int = 1) -> float:
    """Return the processor time of a call, which others that share the machine do not take away."""
    started = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - started) / times


def peak_bytes(call: Callable[[], Any]) -> int:
    """Return the most bytes of tensors that a call holds at any moment, by the profiler's allocations."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        call()
    events = watched.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def operations(call: Callable[[], Any]) -> int:
    """Return the floating-point operations of a call's matrix products and convolutions."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counted:
        call()
    return int(counted.get_total_flops())
