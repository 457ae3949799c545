"""The claims on the expanded update, each from measurements to its verdict; page and tests call them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from companion.expansion.regime import local_order
from companion.verdicts import Claim, each, every, jointly

EXACT = 1e-12
"""Relative distances below this are roundoff."""
ORDER = 0.05
"""How far a fitted order may lie from the order that theory gives."""
AN_ORDER = f"orders within {ORDER:g}"
SMALL = 0.1
"""A remainder below this part of the Hessian term we call small."""
RANDOM, TRAINED = "sine, random weights", "sine, after training"
SWITCHING = 5
"""Halvings of α over which units of a ReLU network switch."""


@dataclass(frozen=True)
class Evidence:
    """What the page measures.

    Attributes:
        line_orders: the order of what every line of Eqs. 14–16 and 22–24 leaves out; a row per equation, a
            column per problem.
        products: `remainders.product_formula` of all problems.
        slopes: `remainders.slopes` of all problems.
        exact: `remainders.exactness_on_quadratics`.
        at_demo: remainder over Hessian term at the settings of the sine demo, before and after training.
        at_section_6: `regime.remainder_map` of the Omniglot network at the α of section 6.2.
        smooth: `regime.kinks` with tanh.
        kinked: the same with ReLU.
    """

    line_orders: pd.DataFrame
    products: pd.DataFrame
    slopes: pd.DataFrame
    exact: Mapping[str, float]
    at_demo: Mapping[str, float]
    at_section_6: pd.DataFrame
    smooth: pd.DataFrame
    kinked: pd.DataFrame

    def slopes_of(self, order: int) -> pd.Series:
        """Return the slopes of the remainders of the expansion up to that order in α."""
        return self.slopes[self.slopes.order == order].slope


def of_order(found: Iterable[float], expected: float) -> str:
    """Return the verdict on the claim that all fitted orders are the one that theory gives."""
    return each(found, above=expected - ORDER, below=expected + ORDER)


def inner_gradients_expand_as_in_eq_13_to_16(evidence: Evidence) -> Claim:
    """What every line of the derivation leaves out is of order α²."""
    shown = evidence.line_orders.loc[["14", "15", "16"]]
    return Claim(
        "eq-13-16",
        "an inner gradient is $\\bar g_i - \\alpha \\bar H_i \\sum_{j<i} \\bar g_j$ up to $O(\\alpha^2)$; "
        f"{AN_ORDER}",
        f"what each line leaves out is of order {shown.min().min():.2f} to {shown.max().max():.2f} in α",
        of_order(evidence.line_orders.to_numpy().ravel(), 2),
    )


def maml_is_the_ordered_product_of_eq_17_to_21(evidence: Evidence) -> Claim:
    """The product equals autograd through the loop to roundoff; with its factors swapped it does not."""
    product = evidence.products["Eq. 21"].max()
    swapped = evidence.products[evidence.products.k > 2]["swapped order"]
    return Claim(
        "eq-17-21",
        "MAML's gradient is the ordered product of $I - \\alpha L''_j(\\phi_j)$ applied to $g_k$",
        f"equals automatic differentiation to {'1e-12' if product < EXACT else 'worse than 1e-12'}, "
        "relative to the gradient; with its factors in the opposite order it is off by up to "
        f"{swapped.max():.0e}",
        every(each(evidence.products["Eq. 21"], below=EXACT), each(swapped, above=1e-8)),
    )


def the_leading_order_expansions_hold(evidence: Evidence) -> Claim:
    """Slope 2 with the Hessian term, 1 without it, and exact where the series ends."""
    slopes = {order: evidence.slopes_of(order) for order in (0, 1)}
    spread = {order: f"{s.min():.2f} to {s.max():.2f}" for order, s in slopes.items()}
    exact = evidence.exact
    return Claim(
        "eq-22-27, 36, 38, 40",
        f"leading-order expansions of MAML, FOMAML and Reptile; {AN_ORDER}",
        f"what they leave out is of order {spread[1]} in α, and {spread[0]} without the Hessian term; on "
        "quadratic losses at k = 2 they are exact, MAML's up to the one term predicted",
        every(
            *(of_order(evidence.slopes_of(order), order + 1) for order in (0, 1)),
            each([exact["FOMAML"], exact["MAML minus its predicted remainder"]], below=EXACT),
        ),
    )


def the_series_holds_for_small_alpha_k(evidence: Evidence) -> Claim:
    """On smooth losses the remainder falls as α²."""
    return Claim(
        "small αk",
        f"the series holds for small αk; {AN_ORDER}",
        "on smooth losses what the series leaves out falls as $\\alpha^2$",
        of_order(evidence.slopes_of(1), 2),
    )


def alpha_k_is_small_in_the_papers_experiments(evidence: Evidence) -> Claim:
    """At the settings of sections 4 and 6.2 the remainder is small beside the Hessian term."""
    demo, section_6 = evidence.at_demo, evidence.at_section_6
    return Claim(
        "small αk, in the paper's experiments",
        "used to explain how the methods train (not claimed in so many words); small means below "
        f"{SMALL:g} of the Hessian term",
        "what the series leaves out, relative to its Hessian term: sine waves (authors' demo) "
        f"{demo[RANDOM]:.1g} at random weights and {demo[TRAINED]:.1g} after a short training; network of "
        f"section 6.2, random weights, one task of made-up characters, {section_6.against_term.min():.1g} "
        f"or more, which is at least {section_6.relative.min():.0f} times the gradient",
        jointly(each([demo[RANDOM]], below=SMALL), each(section_6.against_term, below=SMALL)),
    )


def missing_curvature(kinked: pd.DataFrame) -> pd.Series:
    """Return how much of the average Hessian term a network with kinks lacks, at the small α."""
    return kinked["mean against term"].iloc[SWITCHING - 1 :]


def the_series_holds_with_relu(evidence: Evidence) -> Claim:
    """With ReLU the order is 2 as well, draw by draw and on average."""
    order = np.mean(local_order(evidence.kinked, "median relative")[:SWITCHING])
    missing = missing_curvature(evidence.kinked)
    return Claim(
        "ReLU",
        f"not discussed; asked: order 2 within {ORDER:g}, and on average below {SMALL:g} of the Hessian term",
        f"what the series leaves out is of order {order:.1f} instead of 2 where units switch; on average "
        f"over minibatches it is {missing.min():.1f} to {missing.max():.1f} of the Hessian term at every "
        "small α",
        jointly(of_order([float(order)], 2), each(missing, below=SMALL)),
    )


CLAIMS = (
    inner_gradients_expand_as_in_eq_13_to_16,
    maml_is_the_ordered_product_of_eq_17_to_21,
    the_leading_order_expansions_hold,
    the_series_holds_for_small_alpha_k,
    alpha_k_is_small_in_the_papers_experiments,
    the_series_holds_with_relu,
)
"""The claims of the page, in its order."""


def ledger(evidence: Evidence) -> list[Claim]:
    """Return all claims of the page with their verdicts."""
    return [claim(evidence) for claim in CLAIMS]
