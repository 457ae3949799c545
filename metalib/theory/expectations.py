"""Expectations over minibatch draws: AvgGrad, AvgGradInner, and E[g] (Nichol et al. 2018, Eqs. 28–41).

A task is a finite pool of N minibatches. All N^k ordered draws of k of them are then run as one stack
of trajectories from the same φ_1, and an expectation is a plain mean over the stack: exact, without
sampling. Two ways of drawing are offered, and the theory holds for both:

    with replacement     L_1 … L_k independent given the task, as section 5.1 assumes;
    without replacement  k different minibatches, as cycling through an epoch gives them. The draws
                         depend on each other, but every ordered pair of them is as likely as any
                         other (they are exchangeable), and the derivation uses no more than that.
                         AvgGradInner is then the mean over pairs of *different* minibatches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations, product
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from metalib.derivatives import gradient, hvp
from metalib.errors import require
from metalib.inner import Trajectory, inner_loop
from metalib.memory import bytes_of, side_by_side
from metalib.optimizers import SGD
from metalib.params import Params, add, repeat, scale, select, total
from metalib.rng import generator

if TYPE_CHECKING:
    from jaxtyping import Int

Estimator = Callable[[Trajectory], Params]


class StackedLoss(Protocol):
    """A stack of losses from which runs can be chosen, such as `MinibatchLoss` or `PolynomialLoss`."""

    def __call__(self, params: Params) -> Tensor:
        """Return one number per run."""
        ...

    def select(self, runs: Any) -> StackedLoss:
        """Return the losses of the chosen runs only."""
        ...


@dataclass(frozen=True)
class Pool:
    """N minibatches of each of T tasks, all equally likely.

    Attributes:
        losses: a stack of T·N losses; run τN + n is minibatch n of task τ.
        tasks: the number T of tasks.
        minibatches: the number N of minibatches of each task.
    """

    losses: StackedLoss
    tasks: int
    minibatches: int

    def ordered_draws(self, k: int, replacement: bool = True) -> Int[Tensor, "draws k"]:
        """Return every ordered draw of k minibatches of one task, for all tasks; all are equally likely.

        There are T·N^k of them with replacement and T·N!/(N−k)! without.

        Raises:
            InputError: if k is below 1, or k different minibatches are asked of fewer.
        """
        self._require_enough(k, replacement)
        numbers = range(self.minibatches)
        draws = product(numbers, repeat=k) if replacement else permutations(numbers, k)
        return self._of_every_task(torch.tensor(list(draws)))

    def repeated_draws(self, k: int) -> Int[Tensor, "draws k"]:
        """Return the draws in which all k steps reuse the same minibatch: what the theory excludes."""
        return self._of_every_task(torch.arange(self.minibatches)[:, None].expand(-1, k))

    def sampled_draws(
        self, k: int, count: int, seed: int, replacement: bool = True
    ) -> Int[Tensor, "count k"]:
        """Draw `count` independent (task, ordered minibatches), uniformly."""
        self._require_enough(k, replacement)
        rng = generator(seed, "draws")
        task = torch.from_numpy(rng.integers(self.tasks, size=(count, 1)))
        if replacement:
            number = rng.integers(self.minibatches, size=(count, k))
        else:
            number = rng.permuted([list(range(self.minibatches))] * count, axis=1)[:, :k]
        return task * self.minibatches + torch.from_numpy(number)

    def losses_for(self, draws: Int[Tensor, "draws k"]) -> list[StackedLoss]:
        """Return L_1 … L_k, each a stack with one run per draw."""
        return [self.losses.select(column) for column in draws.unbind(dim=1)]

    def run(self, phi: Params, alpha: float, draws: Int[Tensor, "draws k"]) -> Trajectory:
        """Take k SGD steps from φ_1 (a stack of one) for every draw: one trajectory per draw, stacked."""
        return inner_loop(self.losses_for(draws), repeat(phi, len(draws)), SGD(alpha))

    def _of_every_task(self, draws: Int[Tensor, "draws k"]) -> Int[Tensor, "all_draws k"]:
        first = torch.arange(self.tasks) * self.minibatches
        return (first[:, None, None] + draws).flatten(0, 1)

    def _require_enough(self, k: int, replacement: bool) -> None:
        require(k >= 1, f"k is {k}; draw at least one minibatch")
        require(
            replacement or k <= self.minibatches,
            f"cannot draw k = {k} different minibatches from a pool of {self.minibatches}; "
            "enlarge the pool or draw with replacement",
        )


def expectation(
    estimator: Estimator, pool: Pool, phi: Params, alpha: float, draws: Int[Tensor, "draws k"]
) -> Params:
    """Return the mean of an estimator over the given draws; exact if they are all the ordered draws.

    Args:
        estimator: a meta-gradient, such as `meta_gradients.maml`.
        pool: the minibatches.
        phi: φ_1, a stack of one.
        alpha: the inner step size α.
        draws: from `Pool.ordered_draws`, or `Pool.sampled_draws` for an estimate.

    Returns:
        E[g], a stack of one.
    """
    sums = [_sum(estimator(pool.run(phi, alpha, chunk))) for chunk in _chunks(draws, phi)]
    return scale(total(sums), 1.0 / len(draws))


def expected_gradients(pool: Pool, phi: Params, alpha: float, draws: Int[Tensor, "draws k"]) -> list[Params]:
    """Return E[g_1] … E[g_k] over the given draws, stacks of one; any E[Σ c_i g_i] is their weighted sum."""
    sums: list[Params] = []
    for chunk in _chunks(draws, phi):
        here = [_sum(g) for g in pool.run(phi, alpha, chunk).g]
        sums = [add(s, h) for s, h in zip(sums, here, strict=True)] if sums else here
    return [scale(s, 1.0 / len(draws)) for s in sums]


def avg_grad(pool: Pool, phi: Params) -> Params:
    """Return AvgGrad = E[ḡ_1], the gradient of the expected loss, exactly (Nichol et al. 2018, Eq. 28)."""
    return average_run(initial_gradients_of_pool(pool, phi))


def avg_grad_inner(pool: Pool, phi: Params, replacement: bool = True) -> Params:
    """Return AvgGradInner = E[H̄_2 ḡ_1] exactly, over all ordered pairs (Nichol et al. 2018, Eq. 29).

    Drawing with replacement, L_1 and L_2 are independent given the task, hence E[H̄_2 ḡ_1] = E_τ[H̄_τ ḡ_τ] with
    the task's own Hessian and gradient, which is ½ ∂/∂φ_1 E_τ‖ḡ_τ‖². The tests use that as a second route.
    """
    draws = pool.ordered_draws(2, replacement)
    chunks = [_sum(hessian_gradient_products(pool, phi, chunk)) for chunk in _chunks(draws, phi)]
    return scale(total(chunks), 1.0 / len(draws))


def hessian_gradient_products(pool: Pool, phi: Params, draws: Int[Tensor, "draws 2"]) -> Params:
    """Return H̄_2 ḡ_1 for every draw (L_1, L_2), as a stack; its mean is or estimates AvgGradInner."""
    g_bar = select(initial_gradients_of_pool(pool, phi), draws[:, 0])
    return hvp(pool.losses.select(draws[:, 1]), repeat(phi, len(draws)), g_bar)


def initial_gradients_of_pool(pool: Pool, phi: Params) -> Params:
    """Return ḡ of every minibatch in the pool, as a stack of T·N runs."""
    return gradient(pool.losses, repeat(phi, pool.tasks * pool.minibatches))


def average_run(a: Params) -> Params:
    """Return the mean over the runs of a stack, as a stack of one."""
    return {name: value.mean(0, keepdim=True) for name, value in a.items()}


def _chunks(draws: Int[Tensor, "draws k"], phi: Params) -> tuple[Int[Tensor, "chunk k"], ...]:
    """Cut draws into stacks whose trajectories, k + 1 points and k gradients each, are held at once."""
    footprint = (2 * draws.shape[1] + 1) * bytes_of(phi)
    return draws.split(side_by_side(footprint, next(iter(phi.values())).device))


def _sum(a: Params) -> Params:
    return {name: value.sum(0, keepdim=True) for name, value in a.items()}
