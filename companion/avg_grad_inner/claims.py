"""The claims on AvgGradInner, each from what the page measures to its verdict; page and tests call them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from companion.expansion.remainders import COMPARED, order_of
from companion.verdicts import Claim, verdict

EXACT = 1e-12
"""Relative distances below this are roundoff."""
ORDER = 0.05
"""How far a fitted order may lie from the order that theory gives."""
METHODS = tuple(COMPARED)
WINDOW = (100, 600)
"""Outer iterations between which AvgGradInner leads."""


@dataclass(frozen=True)
class Evidence:
    """What the page measures.

    Attributes:
        averages: relative distances of Eqs. 30, 31 and 32 from Eq. 29, in expectation.
        coefficients: `coefficients.measured_coefficients` for several k and α.
        by_alpha: the same at one k, while α is halved.
        plain_sgd: `draws.plain_sgd` of the problems.
        reptile: `training.through_training` of a Reptile run.
        joint: the same of a joint run.
        moved: relative changes of the inner product of gradients by a step, a row per `iteration`, with
            columns `plus`, `minus`, `random low`, `random high`.
    """

    averages: pd.DataFrame
    coefficients: pd.DataFrame
    by_alpha: pd.DataFrame
    plain_sgd: pd.DataFrame
    reptile: pd.DataFrame
    joint: pd.DataFrame
    moved: pd.DataFrame

    @property
    def smallest_alpha(self) -> float:
        """The least inner step size tried."""
        return float(self.coefficients.alpha.min())


def at_smallest_alpha(coefficients: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of MAML, FOMAML and Reptile at the least α tried."""
    smallest = coefficients.alpha == coefficients.alpha.min()
    return coefficients[smallest & coefficients.method.isin(METHODS)]


def largest_errors(coefficients: pd.DataFrame, alpha: float) -> tuple[float, float]:
    """Return the largest relative errors of the coefficients of AvgGradInner and AvgGrad.

    Args:
        coefficients: a table of `measured_coefficients`.
        alpha: the inner step size of the rows.
    """
    rows = coefficients[(coefficients.alpha == alpha) & coefficients.method.isin(METHODS)]
    inner = (rows["inner"] / rows["inner predicted"] - 1).abs().max()
    return float(inner), float((rows["avg_grad"] / rows["avg_grad predicted"] - 1).abs().max())


def orders_of_error(by_alpha: pd.DataFrame) -> dict[str, float]:
    """Return the power of α as which the error of AvgGradInner's coefficient falls, per method."""
    return {
        str(name): order_of(rows.alpha, (rows["inner"] / rows["inner predicted"] - 1).abs())
        for name, rows in by_alpha[by_alpha.method.isin(METHODS)].groupby("method")
    }


def ratios(coefficients: pd.DataFrame) -> pd.DataFrame:
    """Return how much AvgGradInner weighs against AvgGrad, over α: a row per k, a column per method."""
    small = at_smallest_alpha(coefficients)
    weighed = small.assign(ratio=small["inner"] / small["avg_grad"])
    return weighed.pivot(index="k", columns="method", values="ratio")


def four_forms_agree(evidence: Evidence) -> Claim:
    """Eqs. 29 to 32 are the same vector in expectation."""
    largest = evidence.averages.max().max()
    return Claim(
        "eq-29-32",
        "four forms of AvgGradInner",
        f"agree to {'1e-12' if largest < EXACT else 'worse than 1e-12'} in expectation, "
        "with and without replacement",
        verdict(bool(largest < EXACT)),
    )


def the_coefficients_are_those_of_the_paper(evidence: Evidence) -> Claim:
    """Both coefficients are recovered within 1 %, and the error falls linearly in α."""
    ks, alpha = evidence.coefficients.k.unique(), evidence.smallest_alpha
    worst = largest_errors(evidence.coefficients, alpha)
    orders = orders_of_error(evidence.by_alpha)
    return Claim(
        "eq-33-35, 37, 39, 41",
        "coefficients MAML $(1, -2(k-1)\\alpha)$, FOMAML $(1, -(k-1)\\alpha)$, "
        "Reptile $(k, -\\frac12 k(k-1)\\alpha)$",
        f"recovered for k = {ks.min()} to {ks.max()} within {worst[0]:.1%} at α = {alpha:g}; "
        f"error falls as α to the power {min(orders.values()):.2f} to {max(orders.values()):.2f}",
        verdict(bool(max(worst) < 0.01), all(abs(power - 1) < ORDER for power in orders.values())),
    )


def maml_weighs_avg_grad_inner_most(evidence: Evidence) -> Claim:
    """The ratios are 4 : 2 : 1 at every k, and grow with k − 1."""
    ratio = ratios(evidence.coefficients)
    return Claim(
        "ratio",
        "AvgGradInner : AvgGrad is largest in MAML, then FOMAML, then Reptile; linear in α and k",
        "4 : 2 : 1 at every k, proportional to α and to k − 1 (the paper says k)",
        verdict(
            bool((ratio.MAML / ratio.Reptile - 4).abs().max() < 0.04),
            bool((ratio.FOMAML / ratio.Reptile - 2).abs().max() < 0.02),
            bool((ratio.Reptile / (ratio.index - 1) - 0.5).abs().max() < 0.005),
        ),
    )


def minus_avg_grad_inner_raises_the_inner_product(evidence: Evidence) -> Claim:
    """As the paper words it, a step along −AvgGradInner raises the inner product of gradients."""
    minus, plus = evidence.moved.minus, evidence.moved.plus
    return Claim(
        "inner-product, the wording",
        "(−AvgGradInner) is the direction that increases the inner product",
        f"a step along it changes the inner product by {minus.iloc[0]:+.1%} at the start, "
        f"along +AvgGradInner by {plus.iloc[0]:+.1%}: a slip of sign",
        verdict(bool((minus > 0).all())),
    )


def the_updates_raise_the_inner_product(evidence: Evidence) -> Claim:
    """AvgGradInner raises it far more than random steps do, and Reptile far more than joint training."""
    products, moved = evidence.reptile["inner product"], evidence.moved
    joint, last = evidence.joint["inner product"].iloc[-1], evidence.reptile.iteration.iloc[-1]
    return Claim(
        "inner-product, the substance",
        "the updates of MAML, FOMAML and Reptile raise it, as they contain −AvgGradInner and are subtracted",
        f"Reptile: {products.iloc[0]:.1f} to {products.iloc[-1]:.0f} in {last:,} iterations, "
        f"joint training: to {joint:.1f}; random steps at most {moved['random high'].abs().max():.1%}",
        verdict(
            bool((moved.plus > 5 * moved["random high"].abs()).all()), bool(products.iloc[-1] > 5 * joint)
        ),
    )


def first_joint_then_fast(evidence: Evidence) -> Claim:
    """The update points along AvgGrad at the start, and more along −AvgGradInner later."""
    low, high = WINDOW
    later = evidence.reptile[evidence.reptile.iteration.between(low, high)]
    start = evidence.reptile["cos avg_grad"].iloc[0]
    return Claim(
        "first-joint-then-fast",
        "first towards the minimum of the expected loss, then AvgGradInner enables fast learning",
        f"cosine with AvgGrad {start:.2f} at the start, with −AvgGradInner "
        f"{later['cos inner'].min():.2f} to {later['cos inner'].max():.2f} from iteration {low} to {high}",
        verdict(bool(start > 0.8), bool((later["cos inner"] > later["cos avg_grad"]).all())),
    )


def plain_sgd_contains_the_term(evidence: Evidence) -> Claim:
    """One epoch of SGD on a single task holds the term with the coefficient predicted."""
    term = evidence.plain_sgd["Hessian term"]
    return Claim(
        "plain SGD (section 7)",
        "SGD outside of meta-learning contains the same term",
        f"coefficient {term.min():.2f} to {term.max():.2f} (10 predicted); "
        "but full-batch descent contains nearly the same term",
        verdict(bool((term - 10).abs().max() < 0.1)),
    )


CLAIMS = (
    four_forms_agree,
    the_coefficients_are_those_of_the_paper,
    maml_weighs_avg_grad_inner_most,
    minus_avg_grad_inner_raises_the_inner_product,
    the_updates_raise_the_inner_product,
    first_joint_then_fast,
    plain_sgd_contains_the_term,
)
"""The claims of the page, in its order."""


def ledger(evidence: Evidence) -> list[Claim]:
    """Return all claims of the page with their verdicts."""
    return [claim(evidence) for claim in CLAIMS]
