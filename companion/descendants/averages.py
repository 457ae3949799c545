"""Checks of the descendants that average weights, against Reptile as this book trains it."""

from __future__ import annotations

from companion.descendants import averaging
from companion.descendants.diloco import OUTER_MOMENTUM, OUTER_STEP, AdamW, with_pytorch
from companion.descendants.found import ALPHA, EPSILON, Found
from companion.descendants.rounds import distance, partition, reptile, rounds_of
from companion.expansion.problems import quadratic_problem, sine_problem
from metalib.derivatives import gradient, hvp
from metalib.inner import adapt, inner_loop
from metalib.meta_gradients import combination
from metalib.optimizers import SGD, Adam, Nesterov
from metalib.params import Params, add_scaled, mean, scale, subtract, total
from metalib.theory.expectations import avg_grad, avg_grad_inner, expected_gradients
from metalib.theory.taylor import fit_coefficients
from metalib.training.outer_optimizers import OuterOptimizer


def lookahead(seed: int = 0, rounds: int = 4, k: int = 5) -> Found:
    """Compare Lookahead on a stream with Reptile on one task, with SGD and with Adam."""
    problem = sine_problem(seed=seed)
    dealt = rounds_of(problem, rounds, workers=1, k=k)
    stream = [loss for workers in dealt for loss in workers[0]]
    found = {}
    for name, inner in (("SGD", SGD(ALPHA)), ("Adam", Adam(ALPHA / 10, beta1=0.9, carried=True))):
        theirs = averaging.lookahead(stream, problem.phi, k, EPSILON, inner)
        ours = reptile(dealt, problem.phi, EPSILON, inner)
        found[f"Lookahead and Reptile on one task, {name}"] = distance(ours, theirs, problem.phi)
    return Found(found)


def parallel_sgd(seed: int = 0, workers: int = 4) -> Found:
    """Compare SimuParallelSGD on one data set with one outer step of batched Reptile at ε = 1."""
    problem = sine_problem(seed=seed)
    shared = partition(problem, workers)
    theirs = averaging.parallel_sgd(shared, problem.phi, ALPHA)
    ours = reptile([shared], problem.phi, 1.0, SGD(ALPHA))
    return Found({"SimuParallelSGD and one outer step": distance(ours, theirs, problem.phi)})


def federated_averaging(seed: int = 0, rounds: int = 3, k: int = 4) -> Found:
    """Compare FedAvg with batched Reptile at ε = 1: equal data, unequal data, and what the weights change."""
    problem = sine_problem(tasks=3, seed=seed)
    dealt = rounds_of(problem, rounds, workers=3, k=k)
    data = (1, 2, 5)
    by_data = [[w for w, n in zip(workers, data, strict=True) for _ in range(n)] for workers in dealt]
    weighted = averaging.federated_averaging(dealt, problem.phi, ALPHA, data)
    equal = averaging.federated_averaging(dealt, problem.phi, ALPHA)
    ours, drawn = (reptile(tasks, problem.phi, 1.0, SGD(ALPHA)) for tasks in (dealt, by_data))
    return Found(
        {
            "FedAvg and Reptile, equal data": distance(ours, equal, problem.phi),
            "FedAvg and Reptile, tasks drawn by data": distance(drawn, weighted, problem.phi),
        },
        {"ignoring the data": distance(ours, weighted, problem.phi)},
    )


def local_sgd(seed: int = 0, workers: int = 3) -> Found:
    """Compare local SGD with SGD that averages gradients: k = 1, k = 2, and what k = 2 adds.

    On quadratic losses the difference after two steps is α² times the covariance, over workers, of Hessian
    and gradient: α² (mean of H̄_2 ḡ_1 − mean of H̄_2 · mean of ḡ_1).
    """
    problem = quadratic_problem(tasks=workers, seed=seed)
    phi = problem.phi
    one, two = (rounds_of(problem, 1, workers, k) for k in (1, 2))
    g = [gradient(first, phi) for first, _ in two[0]]
    within = mean([hvp(second, phi, own) for (_, second), own in zip(two[0], g, strict=True)])
    across = mean([hvp(second, phi, mean(g)) for _, second in two[0]])
    synchronous = [averaging.synchronous_sgd(dealt, phi, ALPHA) for dealt in (one, two)]
    local = [reptile(dealt, phi, 1.0, SGD(ALPHA)) for dealt in (one, two)]
    predicted = add_scaled(synchronous[1], subtract(within, across), ALPHA**2)
    return Found(
        {
            "local and synchronous SGD, k = 1": distance(local[0], synchronous[0], phi),
            "k = 2, with the covariance added": distance(local[1], predicted, phi),
        },
        {"k = 2, as it is": distance(local[1], synchronous[1], phi)},
    )


def diloco(seed: int = 0, rounds: int = 4, k: int = 5) -> Found:
    """Compare DiLoCo by PyTorch's optimizers with Reptile given ours, and what kept moments change."""
    problem = sine_problem(tasks=3, seed=seed)
    dealt = rounds_of(problem, rounds, workers=3, k=k)
    nesterov, inner = OuterOptimizer(Nesterov(1.0, OUTER_MOMENTUM), per_alpha=False), AdamW(ALPHA / 10)
    fresh, kept = (with_pytorch(dealt, problem.phi, ALPHA / 10, fresh=each) for each in (True, False))
    plain = with_pytorch(dealt, problem.phi, ALPHA / 10, momentum=0.0)
    ours = reptile(dealt, problem.phi, OUTER_STEP, inner, nesterov)
    return Found(
        {
            "DiLoCo and Reptile with both optimizers": distance(ours, fresh, problem.phi),
            "without outer momentum": distance(
                reptile(dealt, problem.phi, OUTER_STEP, inner), plain, problem.phi
            ),
        },
        {"moments kept": distance(fresh, kept, problem.phi)},
    )


def averaged_iterates(seed: int = 0, k: int = 4, alpha: float = 2.0**-9) -> Found:
    """Compare the mean of iterates with Σ c_i g_i, and recover its ratio of AvgGradInner to AvgGrad."""
    problem, small = sine_problem(minibatches=k, seed=seed), quadratic_problem(minibatches=k, seed=seed)
    trajectory = inner_loop(problem.losses(k), problem.phi, SGD(ALPHA))
    c = averaging.swa_weights(k)
    combined = add_scaled(problem.phi, combination(trajectory, c), -ALPHA)
    g = expected_gradients(small.pool, small.phi, alpha, small.pool.ordered_draws(k))
    basis = avg_grad(small.pool, small.phi), avg_grad_inner(small.pool, small.phi)
    update = total([scale(part, weight) for part, weight in zip(g, c, strict=True)])
    theirs = averaging.averaged_iterates(trajectory)
    return Found(
        {"mean of iterates and weighted gradients": distance(combined, theirs, problem.phi)},
        numbers={"ratio over α, k = 4; theory 1, Reptile 1.5": fitted_ratio(update, basis) / alpha},
    )


def fitted_ratio(update: Params, basis: tuple[Params, Params]) -> float:
    """Return how much −AvgGradInner weighs against AvgGrad in an update, by least squares."""
    return float(fit_coefficients(update, *basis).ratio)


def soup(seed: int = 0, k: int = 8) -> Found:
    """Compare a uniform soup of three models with one outer step of batched Reptile at ε = 1."""
    problem = sine_problem(tasks=3, seed=seed)
    dealt = rounds_of(problem, 1, workers=3, k=k)
    models = [adapt(losses, problem.phi, SGD(ALPHA)) for losses in dealt[0]]
    ours = reptile(dealt, problem.phi, 1.0, SGD(ALPHA))
    return Found({"uniform soup and one outer step": distance(ours, averaging.soup(models), problem.phi)})
