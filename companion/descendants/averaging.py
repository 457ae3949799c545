"""Descendants that average weights, each written as its own paper writes it: nothing of Reptile is used here.

Weights are averaged, not displacements, and fast and slow weights are kept apart, so that the comparison with
`rounds.reptile` is one of two routes.
"""

from __future__ import annotations

from collections.abc import Sequence

from companion.descendants.rounds import Round
from metalib.derivatives import Loss, gradient
from metalib.inner import Trajectory, adapt
from metalib.optimizers import SGD, Optimizer
from metalib.params import Params, add_scaled, mean, scale, subtract, total


def lookahead(stream: Sequence[Loss], phi: Params, k: int, slow_step: float, fast: Optimizer) -> Params:
    """Return the slow weights after one pass over a stream of minibatches.

    The fast weights θ take a step of their optimizer on every minibatch; every k of them the slow weights
    follow, φ ← φ + a (θ − φ), and the fast ones begin there again.

    Args:
        stream: one loss per minibatch.
        phi: where both begin.
        k: fast steps between two slow ones.
        slow_step: a, the slow step size.
        fast: the optimizer of the fast weights; it keeps its state throughout.

    Source: Zhang et al. 2019, Algorithm 1.
    """
    slow, theta, state = phi, phi, fast.initial_state(phi)
    for count, loss in enumerate(stream, start=1):
        theta, state = fast.step(theta, gradient(loss, theta), state)
        if count % k == 0:
            slow = add_scaled(slow, subtract(theta, slow), slow_step)
            theta = slow
    return slow


def federated_averaging(
    rounds: Sequence[Round], phi: Params, alpha: float, data: Sequence[int] | None = None
) -> Params:
    """Return the global weights after rounds of w ← Σ_i (n_i / n) w_i, where client i ran SGD from w.

    Args:
        rounds: per round and client, the losses of its local steps.
        phi: the global weights at the start.
        alpha: local step size.
        data: n_i, how many examples each client has; the same for all if `None`.

    Source: McMahan et al. 2017, Algorithm 1.
    """
    weights = phi
    for clients in rounds:
        counts = data or [1] * len(clients)
        share = [count / sum(counts) for count in counts]
        local = [adapt(losses, weights, SGD(alpha)) for losses in clients]
        weights = total([scale(own, part) for own, part in zip(local, share, strict=True)])
    return weights


def synchronous_sgd(rounds: Sequence[Round], phi: Params, alpha: float) -> Params:
    """Return the weights of SGD that averages *gradients* over the workers at every single step.

    Args:
        rounds: per round and worker, the losses of its steps.
        phi: where it starts.
        alpha: step size.
    """
    weights = phi
    for workers in rounds:
        for losses in zip(*workers, strict=True):
            weights = add_scaled(weights, mean([gradient(loss, weights) for loss in losses]), -alpha)
    return weights


def parallel_sgd(workers: Round, phi: Params, alpha: float) -> Params:
    """Return the mean of what workers find that never talk before the end.

    Args:
        workers: per worker, the losses of all its steps.
        phi: where all start.
        alpha: step size.

    Source: Zinkevich et al. 2010, Algorithm 3, SimuParallelSGD.
    """
    return mean([adapt(losses, phi, SGD(alpha)) for losses in workers])


def averaged_iterates(trajectory: Trajectory) -> Params:
    """Return (φ_2 + … + φ_{k+1}) / k, the mean of the weights along one run.

    Source: Izmailov et al. 2018, Algorithm 1, with an average taken at every step.
    """
    return mean(trajectory.phi[1:])


def swa_weights(k: int) -> tuple[float, ...]:
    """Return c_i = (k − i + 1) / k: averaging iterates is a weighted sum of inner gradients.

    φ_{j+1} = φ_1 − α (g_1 + … + g_j), and g_i is in k − i + 1 of the k iterates φ_2 … φ_{k+1}. Hence
    their mean is φ_1 − α Σ c_i g_i.

    >>> swa_weights(4)
    (1.0, 0.75, 0.5, 0.25)
    """
    return tuple((k - earlier) / k for earlier in range(k))


def soup(fine_tuned: Sequence[Params]) -> Params:
    """Return the uniform soup, the mean of models fine-tuned from the same weights.

    Source: Wortsman et al. 2022, section 2.
    """
    return mean(fine_tuned)
