"""The share of AvgGradInner and the size of α, taken apart."""

import numpy as np
import pytest

from companion.inner_gradients.filters import combination_filter
from companion.inner_gradients.share import ALPHA, ALPHAS, EPSILON, KINDS, SHARE, SHARE_OR_SIZE, run
from metalib.methods import METHODS
from metalib.theory.taylor import predicted_coefficients
from tests.tolerances import EXACT


@pytest.mark.parametrize("alpha", ALPHAS)
def test_outer_steps_keep_their_length_and_shares_are_what_they_are_called(alpha):
    for kind in KINDS:
        one = run(kind, alpha, 10, 0)
        told = (
            predicted_coefficients(one.weights, alpha)
            if one.weights
            else METHODS["maml"].coefficients(2, alpha)
        )
        assert one.epsilon * alpha * told.avg_grad == pytest.approx(EPSILON * ALPHA, rel=EXACT)
        share = {"share": SHARE, "lambda": 2 * alpha, "maml": 2 * alpha}[kind]
        assert -told.avg_grad_inner / told.avg_grad == pytest.approx(share, rel=EXACT)


def test_at_a_fixed_share_the_filter_of_a_quadratic_does_not_know_alpha():
    h = np.linspace(-20, 80, 11)
    steps = [alpha * combination_filter(run("share", alpha, 10, 0).weights, alpha * h) for alpha in ALPHAS]
    for step in steps[1:]:
        assert step == pytest.approx(steps[0], rel=EXACT)


def test_every_kind_is_there_for_both_activations_and_batches_once():
    facts = [tuple(unit.facts.values()) for unit in SHARE_OR_SIZE.units(SHARE_OR_SIZE.budgets["smoke"], (0,))]
    assert len(facts) == len(set(facts)) == 2 * 2 * (3 + 2 + 3)
