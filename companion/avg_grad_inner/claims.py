"""The claims on AvgGradInner, each from what the page measures to its verdict; page and tests call them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pandas as pd

from companion.expansion.remainders import COMPARED, order_of
from companion.intervals import UNMEASURED, Interval, counted, interval
from companion.verdicts import Claim, decide, each, every, jointly

EXACT = 1e-12
"""Relative distances below this are roundoff."""
ORDER = 0.05
"""How far a fitted order may lie from the order that theory gives."""
METHODS = tuple(COMPARED)
RATIOS = {"MAML": 2.0, "FOMAML": 1.0, "Reptile": 0.5}
"""What AvgGradInner weighs against AvgGrad, in units of (k − 1) α."""
NAMES = {"reptile": "Reptile", "fomaml": "FOMAML", "maml": "MAML"}
RECOVERED = 0.01
"""Relative distance from what theory gives, within which a coefficient counts as recovered."""
NOT_RUN = "the runs of `inner-product` are not stored"
LATER = 100
"""The outer iteration from which on AvgGradInner should lead."""


@dataclass(frozen=True)
class Evidence:
    """What the page measures.

    Attributes:
        averages: relative distances of Eqs. 30, 31 and 32 from Eq. 29, in expectation.
        coefficients: `coefficients.measured_coefficients` for several k and α.
        by_alpha: the same at one k, while α is halved.
        plain_sgd: `draws.plain_sgd` of the problems.
        moved: relative changes of the inner product of gradients by a step, a row per `iteration`, with
            columns `plus`, `minus`, `random low`, `random high`.
        course: the stored table of that name of `course.COURSE`, where it was run.
    """

    averages: pd.DataFrame
    coefficients: pd.DataFrame
    by_alpha: pd.DataFrame
    plain_sgd: pd.DataFrame
    moved: pd.DataFrame
    course: pd.DataFrame | None = None

    @property
    def budget(self) -> str:
        """How long the runs of `course` are."""
        if self.course is None:
            return NOT_RUN
        return f"{self.course.iteration.max():,} iterations, {counted(self.course.seed.unique())}"

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
    distances = evidence.averages.to_numpy().ravel()
    return Claim(
        "eq-29-32",
        "four forms of AvgGradInner",
        f"agree to {'1e-12' if distances.max() < EXACT else 'worse than 1e-12'} in expectation, "
        "with and without replacement",
        each(distances, below=EXACT),
    )


def the_coefficients_are_those_of_the_paper(evidence: Evidence) -> Claim:
    """Both coefficients are recovered within 1 %, and the error falls linearly in α."""
    ks, alpha = evidence.coefficients.k.unique(), evidence.smallest_alpha
    errors = largest_errors(evidence.coefficients, alpha)
    orders = orders_of_error(evidence.by_alpha).values()
    return Claim(
        "eq-33-35, 37, 39, 41",
        "coefficients MAML $(1, -2(k-1)\\alpha)$, FOMAML $(1, -(k-1)\\alpha)$, "
        "Reptile $(k, -\\frac12 k(k-1)\\alpha)$",
        f"recovered for k = {ks.min()} to {ks.max()} within {errors[0]:.1%} at α = {alpha:g}; "
        f"error falls as α to the power {min(orders):.2f} to {max(orders):.2f} (recovered means within "
        f"{RECOVERED:.0%}, a power within {ORDER:g} of 1)",
        every(each(errors, below=RECOVERED), each(orders, above=1 - ORDER, below=1 + ORDER)),
    )


def maml_weighs_avg_grad_inner_most(evidence: Evidence) -> Claim:
    """The ratios are 4 : 2 : 1 at every k, and grow with k − 1."""
    ratio = ratios(evidence.coefficients)
    off = [list(ratio[name] / (ratio.index - 1) / expected) for name, expected in RATIOS.items()]
    return Claim(
        "ratio",
        "AvgGradInner : AvgGrad is largest in MAML, then FOMAML, then Reptile; linear in α and k",
        "4 : 2 : 1 at every k, proportional to α and to k − 1 (the paper says k); each within "
        f"{RECOVERED:.0%}",
        each(itertools.chain(*off), above=1 - RECOVERED, below=1 + RECOVERED),
    )


def minus_avg_grad_inner_raises_the_inner_product(evidence: Evidence) -> Claim:
    """As the paper words it, a step along −AvgGradInner raises the inner product of gradients."""
    minus, plus = evidence.moved.minus, evidence.moved.plus
    return Claim(
        "inner-product, the wording",
        "(−AvgGradInner) is the direction that increases the inner product",
        f"a step along it changes the inner product by {minus.iloc[0]:+.1%} at the start, "
        f"along +AvgGradInner by {plus.iloc[0]:+.1%}: a slip of sign",
        each(minus, above=0),
    )


def risen(course: pd.DataFrame | None) -> dict[str, tuple[Interval, Interval]]:
    """Return by how much each method raised E[ḡ_1·ḡ_2]: above its start, and above joint training's end."""
    if course is None:
        return dict.fromkeys(NAMES, (UNMEASURED, UNMEASURED))
    products = course.pivot(index="seed", columns=["iteration", "algorithm"], values="inner product")
    start, end = products[0], products[course.iteration.max()]
    return {
        name: (
            interval((end[name] - start[name]).to_numpy()),
            interval((end[name] - end["joint"]).to_numpy()),
        )
        for name in NAMES
    }


def the_updates_raise_the_inner_product(evidence: Evidence) -> Claim:
    """With each method the inner product ends above where it began, and above where joint training ends."""
    found = risen(evidence.course)
    return Claim(
        "inner-product, the substance",
        "the updates of MAML, FOMAML and Reptile raise it, as they contain −AvgGradInner and are subtracted",
        "above its start, and above joint training's end: "
        + "; ".join(f"{NAMES[name]} {up:.1f}, {beyond:.1f}" for name, (up, beyond) in found.items())
        + f" ({evidence.budget})"
        if evidence.course is not None
        else NOT_RUN,
        each((one for both in found.values() for one in both), above=0),
    )


def leads(course: pd.DataFrame | None) -> dict[int, Interval]:
    """Return by how much AvgGrad leads −AvgGradInner in Reptile's update, as a difference of cosines.

    Args:
        course: the stored table; without it nothing is measured at the start and at `LATER`.

    Returns:
        By outer iteration, mean and interval over the seeds.
    """
    if course is None:
        return dict.fromkeys((0, LATER), UNMEASURED)
    rows = course[course.algorithm == "reptile"].assign(lead=course["cos avg_grad"] - course["cos inner"])
    return {
        iteration: interval(rows[rows.iteration == iteration].lead.to_numpy())
        for iteration in sorted(set(rows.iteration))
        if iteration == 0 or iteration >= LATER
    }


def first_joint_then_fast(evidence: Evidence) -> Claim:
    """The update points more along AvgGrad at the start, and more along −AvgGradInner at every later look."""
    found = leads(evidence.course)
    start, *later = found.values()
    most = max(later, key=lambda one: one.high)
    return Claim(
        "first-joint-then-fast",
        "first towards the minimum of the expected loss, then AvgGradInner enables fast learning",
        f"cosine of Reptile's update with AvgGrad minus that with −AvgGradInner: {start:.2f} at the start, "
        f"and at most {most:.2f} from iteration {LATER} on ({evidence.budget})"
        if evidence.course is not None
        else NOT_RUN,
        jointly(decide(start, above=0), each(later, below=0)),
    )


def plain_sgd_contains_the_term(evidence: Evidence) -> Claim:
    """One epoch of SGD on a single task holds the term with the coefficient predicted."""
    term = evidence.plain_sgd["Hessian term"]
    return Claim(
        "plain SGD (section 7)",
        "SGD outside of meta-learning contains the same term",
        f"coefficient {term.min():.2f} to {term.max():.2f} (10 predicted); "
        f"but full-batch descent contains nearly the same term (within {RECOVERED:.0%} counts as predicted)",
        each(term, above=10 * (1 - RECOVERED), below=10 * (1 + RECOVERED)),
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
