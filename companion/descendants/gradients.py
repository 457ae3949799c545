"""Checks of the descendants that change the gradient: step sizes, second-order terms, proximal steps."""

from __future__ import annotations

from companion.descendants import proximal, regularizer
from companion.descendants.found import ALPHA, EPSILON, Found
from companion.descendants.rounds import distance, reptile, rounds_of
from companion.descendants.step_sizes import PerWeight, by_autograd, meta_gradient, only
from companion.expansion.problems import conv_problem, quadratic_problem, sine_problem
from companion.expansion.remainders import relative_distance
from metalib.inner import inner_loop
from metalib.meta_gradients import maml
from metalib.optimizers import SGD
from metalib.params import dot, norm, subtract


def step_sizes(seed: int = 0, k: int = 3) -> Found:
    """Compare the walk back with a vector of step sizes with automatic differentiation; and special cases."""
    problem = conv_problem(seed=seed)
    losses, phi, found = problem.losses(k), problem.phi, {}
    same = only(phi, "all", ALPHA)
    own = {name: size * (1.0 + phi[name].sin()) for name, size in same.items()}  # no two are the same
    cases = {"Meta-SGD": own, "ANIL": only(phi, "head", ALPHA), "BOIL": only(phi, "body", ALPHA)}
    for name, sizes in cases.items():
        walked = meta_gradient(inner_loop(losses, phi, PerWeight(sizes)))
        literal = by_autograd(losses, phi, sizes)
        found[f"{name}: gradient of φ"] = relative_distance(walked.phi, literal.phi)
        found[f"{name}: gradient of a"] = relative_distance(walked.sizes, literal.sizes)
    as_maml = meta_gradient(inner_loop(losses, phi, PerWeight(same))).phi
    found["a = α everywhere and MAML"] = relative_distance(as_maml, maml(inner_loop(losses, phi, SGD(ALPHA))))
    two = inner_loop(losses[:2], phi, PerWeight(same))
    slope = float(sum(part.sum() for part in meta_gradient(two).sizes.values()))
    found["k = 2: slope in α and −g₁·g₂"] = slope / float(dot(two.g[0], two.g[1])) + 1.0
    return Found(found)


def frozen(seed: int = 0, k: int = 3) -> dict[str, dict[str, float]]:
    """Return how far a frozen part moves under Reptile, FOMAML and MAML, if the rest alone adapts inside.

    Returns:
        Per method, the length of its update on the frozen "body" and the frozen "head".
    """
    problem = conv_problem(seed=seed)
    losses, phi = problem.losses(k), problem.phi
    found: dict[str, dict[str, float]] = {"Reptile": {}, "FOMAML": {}, "MAML": {}}
    for still, moving in (("body", "head"), ("head", "body")):
        sizes = only(phi, moving, ALPHA)
        trajectory = inner_loop(losses, phi, PerWeight(sizes))
        updates = {
            "Reptile": subtract(phi, trajectory.phi[-1]),
            "FOMAML": trajectory.g[-1],
            "MAML": meta_gradient(trajectory).phi,
        }
        for method, update in updates.items():
            rest = {name: value for name, value in update.items() if not bool(sizes[name].any())}
            found[method][still] = float(norm(rest))
    return found


def implicit_regularizer(seed: int = 0, k: int = 4) -> Found:
    """Compare both roads to the second-order term, and recover the coefficients of the regularizer."""
    sine, quadratic = sine_problem(minibatches=k, seed=seed), quadratic_problem(minibatches=k, seed=seed)
    of_mean, of_each = regularizer.recovered(quadratic, [0.1 * (i + 1) for i in range(k)])
    plain, regularized = regularizer.flow_orders(quadratic, [0.01 * 2.0**-i for i in range(5)])
    one, other = (
        road(sine.pool, sine.phi) for road in (regularizer.by_avg_grad_inner, regularizer.by_regularizer)
    )
    return Found(
        {
            "AvgGradInner and the regularizer's term": relative_distance(one, other),
            "coefficient of ∇‖∇C‖² and k²/4": of_mean / (k**2 / 4) - 1.0,
            "coefficient of ∇Σ‖∇Lᵢ‖² and −1/4": of_each / -0.25 - 1.0,
        },
        numbers={
            "coefficient of ∇Σ‖∇Lᵢ‖²": of_each,
            "order of the gap to flow (theory 2)": plain,
            "the same with the penalty (theory 3)": regularized,
        },
    )


def fish(seed: int = 0, k: int = 4) -> Found:
    """Compare Fish on k domains with Reptile on one task, and its pull on inner products with theory."""
    problem = sine_problem(tasks=k, minibatches=1, seed=seed)
    domains = [losses[0] for losses in rounds_of(problem, 1, workers=k, k=1)[0]]
    theirs = regularizer.fish(domains, problem.phi, ALPHA, EPSILON)
    ours = reptile([[domains]], problem.phi, EPSILON, SGD(ALPHA))
    beyond = regularizer.fish_beyond_joint(quadratic_problem(minibatches=2, seed=seed), 0.1)
    return Found(
        {
            "Fish and Reptile, a domain per inner step": distance(ours, theirs, problem.phi),
            "two domains: pull on ∇(ḡ₁·ḡ₂) and theory": beyond - 1.0,
        }
    )


def implicit_maml(seed: int = 0, strength: float = 5.0) -> Found:
    """Compare Reptile on the proximal problem with the envelope's gradient and with implicit MAML."""
    problem = quadratic_problem(minibatches=1, seed=seed)
    found = proximal.compare(problem, strength)
    return Found(
        {
            "λ(φ − φ*) and L'(φ*)": found.displacement,
            "λ(φ − φ*) and the envelope's gradient": found.envelope,
            "λ(φ − φ*) and (I + L''/λ) times iMAML's": found.implicit,
        },
        {"without the factor": found.apart},
    )
