"""Rounds of training in float64, and Reptile on them: what every descendant is compared with.

A round is one outer step. It holds, for each worker (a task, a client, a machine), the k losses that the
worker steps on, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from companion.expansion.problems import Problem
from metalib.derivatives import MinibatchLoss
from metalib.optimizers import Optimizer
from metalib.params import Params, norm, subtract
from metalib.training import TrainingConfig
from metalib.training.outer import outer_step
from metalib.training.outer_optimizers import OUTER_OPTIMIZERS, OuterOptimizer

Round = Sequence[Sequence[MinibatchLoss]]


def rounds_of(problem: Problem, count: int, workers: int, k: int) -> list[list[list[MinibatchLoss]]]:
    """Deal the minibatches of a problem out: worker i steps on those of task i, in turn, again and again.

    Args:
        problem: at least as many tasks as workers.
        count: rounds.
        workers: tasks that take part.
        k: losses per worker and round.
    """
    available, dealt = problem.pool.minibatches, []
    for start in range(0, count * k, k):
        turns = [(start + step) % available for step in range(k)]
        places = [[worker * available + turn for turn in turns] for worker in range(workers)]
        dealt.append([[_one(problem, place) for place in of_worker] for of_worker in places])
    return dealt


def partition(problem: Problem, workers: int) -> list[list[MinibatchLoss]]:
    """Return one round in which workers share out the minibatches of the problem's first task."""
    each = problem.pool.minibatches // workers
    return [[_one(problem, worker * each + turn) for turn in range(each)] for worker in range(workers)]


def _one(problem: Problem, place: int) -> MinibatchLoss:
    return problem.pool.losses.select(slice(place, place + 1))  # type: ignore[return-value]


def reptile(
    rounds: Sequence[Round],
    phi: Params,
    epsilon: float,
    inner: Optimizer,
    outer: OuterOptimizer = OUTER_OPTIMIZERS["interpolate"],
) -> Params:
    """Return φ after Reptile's outer steps, taken by the code that trains every run of this book.

        φ ← φ − ε · outer(1/n Σ_i (φ − φ̃_i)),   φ̃_i = U_i^k(φ).

    Args:
        rounds: per outer step and task, L_1 … L_k.
        phi: the initialization, a stack of one.
        epsilon: the outer step size ε.
        inner: the inner optimizer; if it is `carried`, tasks follow one another and hand its state on.
        outer: what turns the mean displacement into a direction; by default itself (Algorithm 1, Eq. 5).

    Source: Nichol et al. 2018, Algorithm 1 and Eq. 5.
    """
    config = TrainingConfig(k=len(rounds[0][0]), epsilon=epsilon, tasks=len(rounds[0]))
    like = next(iter(phi.values()))
    step = replace(outer_step([config], 1, like.device, like.dtype), optimizer=inner, outer=outer)
    state = step.initial_state(phi)
    for losses in rounds:
        state, _ = step(state, losses, epsilon)
    return state.phi


def distance(a: Params, b: Params, start: Params) -> float:
    """Return how far a lies from b, relative to the way that b has come: ‖a − b‖ / ‖b − start‖."""
    return float(norm(subtract(a, b)) / norm(subtract(b, start)))
