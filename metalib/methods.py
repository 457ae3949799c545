"""The methods that the paper compares, one `Method` each: what they do, what theory says, how they look.

To add one, write its entry here and name it in `METHODS`. If it is a weighted sum of inner gradients,
`weighted` makes the entry from the weights alone; training, theory and figures then know it by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from metalib.derivatives import Loss
from metalib.inner import Trajectory
from metalib.meta_gradients import (
    combination,
    combination_of_displacements,
    fomaml_weights,
    joint_weights,
    maml,
    reptile_weights,
)
from metalib.params import Params, scale
from metalib.theory.taylor import (
    Coefficients,
    Expansion,
    expand_combination,
    expand_maml,
    predicted_coefficients,
    predicted_maml_coefficients,
)

Weights = tuple[float, ...]

# Okabe and Ito's colors, which people with any color vision can tell apart.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"


@dataclass(frozen=True)
class Look:
    """How one curve is drawn; color, line and marker each tell it apart."""

    label: str
    color: str
    line: str | tuple[int, tuple[int, ...]]
    marker: str


@dataclass(frozen=True)
class Method:
    """A way to turn inner trajectories into an outer update.

    Attributes:
        name: what configurations call it.
        look: what readers call it, and how its curves are drawn.
        gradient: maps a trajectory to the meta-gradient.
        displacement: maps a trajectory and the chosen runs of it to what training moves φ against: α times
            the meta-gradient under SGD, its counterpart in displacements φ_i − φ_{i+1} under others.
        expand: maps (L_1 … L_k, φ_1) to the leading-order expansion of the meta-gradient.
        coefficients: maps (k, α) to the weights of AvgGrad and AvgGradInner in its expectation.
        any_optimizer: whether the inner loop may use another optimizer than plain SGD.
    """

    name: str
    look: Look
    gradient: Callable[[Trajectory], Params]
    displacement: Callable[[Trajectory, slice], Params]
    expand: Callable[[Sequence[Loss], Params], Expansion]
    coefficients: Callable[[int, float], Coefficients]
    any_optimizer: bool = True


def weighted(name: str, look: Look, weights: Callable[[int], Weights]) -> Method:
    """Return the method whose meta-gradient is Σ c_i g_i (Nichol et al. 2018, Eqs. 38, 40, section 6.2).

    Args:
        name: what configurations call it.
        look: what readers call it, and how its curves are drawn.
        weights: maps k to c_1 … c_k.
    """
    return Method(
        name,
        look,
        gradient=lambda trajectory: combination(trajectory, weights(trajectory.k)),
        displacement=lambda trajectory, runs: combination_of_displacements(
            trajectory, weights(trajectory.k), runs
        ),
        expand=lambda losses, phi: expand_combination(losses, phi, weights(len(losses))),
        coefficients=lambda k, alpha: predicted_coefficients(weights(k), alpha),
    )


def _maml_displacement(trajectory: Trajectory, runs: slice) -> Params:
    chosen = trajectory.select(runs)
    return scale(maml(chosen), chosen.alpha)


REPTILE = weighted("reptile", Look("Reptile", BLUE, "-", "o"), reptile_weights)
FOMAML = weighted("fomaml", Look("FOMAML", ORANGE, "--", "s"), fomaml_weights)
MAML = Method(
    "maml",
    Look("MAML", GREEN, "-.", "^"),
    gradient=maml,
    displacement=_maml_displacement,
    expand=expand_maml,
    coefficients=predicted_maml_coefficients,
    any_optimizer=False,
)
JOINT = weighted("joint", Look("joint training", VERMILLION, ":", "D"), joint_weights)

METHODS = {
    method.name: method
    for method in (
        REPTILE,
        FOMAML,
        MAML,
        JOINT,
    )
}
COMBINATION = "combination"
"""What a configuration calls the method whose weights it gives itself."""


def find(name: str, weights: Weights = ()) -> Method:
    """Return the method of that name, a KeyError if there is none; "combination" is made from c_1 … c_k."""
    if name == COMBINATION:
        return weighted(name, Look("Σ cᵢ gᵢ", BLUE, "-", "o"), partial(_given, weights))
    return METHODS[name]


def _given(weights: Weights, k: int) -> Weights:
    return weights
