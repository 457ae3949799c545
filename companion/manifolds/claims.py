"""The claims of section 5.2, each from what the page measures to its verdict; page and tests call them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from companion.verdicts import Claim, decide, each, every, jointly

FINITE_DIFFERENCES = 1e-8
NEAR = 0.01
"""A distance from the point of least mean squared distance that we call none."""
LEVEL = 0.001
"""A difference between mean half squared distances that we call none."""
EXACT_PROJECTION = "Reptile, exact projection"


@dataclass(frozen=True)
class Evidence:
    """What the page measures, each a table of `limits`.

    Attributes:
        checked: `gradient_check`.
        limits: `alternating_limits`.
        inner: `inner_steps_on_the_distance`.
        ends: `where_training_ends`.
        descent: `descent_and_projection`.
        partial: `partial_solves`.
    """

    checked: pd.DataFrame
    limits: pd.DataFrame
    inner: pd.DataFrame
    ends: pd.DataFrame
    descent: pd.DataFrame
    partial: pd.DataFrame

    @property
    def by_k(self) -> pd.Series:
        """E[½ D²] where Reptile with k gradient steps ends, by k, exact projections last."""
        return self.partial.set_index("k")["mean half squared distance"]


def the_gradient_of_half_squared_distance(evidence: Evidence) -> Claim:
    """φ − P(φ) agrees with finite differences of ½ D²."""
    largest = evidence.checked["largest difference"].max()
    return Claim(
        "eq-42-44",
        "the gradient of ½D² is φ − P(φ) at almost all points",
        f"finite differences agree to {'1e-8' if largest < FINITE_DIFFERENCES else 'worse than 1e-8'} "
        f"on {len(evidence.checked)} manifolds",
        each(evidence.checked["largest difference"], below=FINITE_DIFFERENCES),
    )


def alternating_moves_converge(evidence: Evidence) -> Claim:
    """The last iterate is at the least mean squared distance, with ε falling to 0 and with constant ε."""
    last = {name: rows["last"] for name, rows in evidence.limits.groupby("schedule")}
    annealed, constant = last["annealed"], last["constant"]
    return Claim(
        "eq-45-47, fig-2",
        "alternating moves converge to the least mean squared distance; asked of falling "
        f"and of constant ε, within {NEAR:g}",
        f"if ε falls to 0, the end is within {annealed.max():.3f} of that point from every start; with a "
        f"constant ε the path ends in a cycle around it, at a distance of {constant.min():.2f} to "
        f"{constant.max():.2f}",
        jointly(each(annealed, below=NEAR), each(constant, below=NEAR)),
    )


def one_step_or_many_end_in_the_same_point(evidence: Evidence) -> Claim:
    """The limit does not depend on the number of gradient steps, on ½ D² and on other losses."""
    by_k = evidence.by_k
    return Claim(
        "one step or many",
        "the same point regardless of the number of gradient steps; asked of ½D² and of other losses, "
        f"within {NEAR:g}",
        "yes, if the loss is ½D², half the squared distance: k steps are one shorter move; in linear "
        f"regression the point depends on k, and the mean of ½D² there is {by_k.iloc[0]:.2f} for k = "
        f"{by_k.index[0]} and {by_k['exact']:.2f} for exact projections",
        jointly(
            each(evidence.inner["limit"], below=NEAR),
            each((by_k.iloc[:-1] - by_k["exact"]).abs(), below=NEAR),
        ),
    )


def reptile_seeks_a_point_and_not_a_manifold(evidence: Evidence) -> Claim:
    """Joint training ends in different points of a manifold, Reptile in one."""
    ends = evidence.ends
    joint, exact = ends[ends.method == "joint training"], ends[ends.method == EXACT_PROJECTION]
    return Claim(
        "a point, not a manifold",
        "the expected loss has a manifold of minimizers, the mean squared distance typically a single one",
        f"from four starts, joint training ends at φ₁ = {joint['end 1'].min():.1f} to "
        f"{joint['end 1'].max():.1f}, always with the expected loss {joint['expected loss'].mean():.3f}; "
        "Reptile always ends at the origin (parallel solution sets are an exception)",
        every(
            decide(float(np.ptp(joint["end 1"])), above=1),
            each(exact[["end 1", "end 2"]].abs().to_numpy().ravel(), below=1e-6),
        ),
    )


def k_steps_can_take_the_place_of_the_projection(evidence: Evidence) -> Claim:
    """More steps come closer to exact projections, and the most steps are level with them."""
    by_k = evidence.by_k
    farther = (evidence.descent["distance gone"] / evidence.descent["distance to W"]).max() - 1
    return Claim(
        "k steps for the projection",
        "partial minimization can take the place of the projection; asked: closer with every "
        f"step, and level within {LEVEL:g}",
        f"gradient descent ends at a solution up to {farther:.0%} farther away than the closest; k steps "
        "weigh tasks by how fast they are learned, from joint training at k = 1 to the paper's picture "
        f"at large k; the mean of ½D² is {by_k.iloc[-2]:.3f} after {by_k.index[-2]} steps, and "
        f"{by_k['exact']:.3f} with exact projections",
        jointly(
            each(-by_k.diff().iloc[1:-1], above=0),
            decide(abs(by_k.iloc[-2] - by_k["exact"]), below=LEVEL),
        ),
    )


CLAIMS = (
    the_gradient_of_half_squared_distance,
    alternating_moves_converge,
    one_step_or_many_end_in_the_same_point,
    reptile_seeks_a_point_and_not_a_manifold,
    k_steps_can_take_the_place_of_the_projection,
)
"""The claims of the page, in its order."""


def ledger(evidence: Evidence) -> list[Claim]:
    """Return all claims of the page with their verdicts."""
    return [claim(evidence) for claim in CLAIMS]
