"""Verdicts on what was said of share and size of α."""

import numpy as np
import pandas as pd
import pytest

from companion.inner_gradients.share import ALPHAS, BOUND
from companion.inner_gradients.share_foretold import ACTIVATIONS, FEW, endings, foretold
from companion.results import Result
from companion.verdicts import FAILS, HOLDS, OPEN
from metalib.tasks.sine import GRID_POINTS

SEEDS = (0, 1, 2)


def made_up(**errors):
    """A result whose runs end at an error by kind; a callable tells it by α, batch and seed."""
    rows = []
    for activation in ACTIVATIONS:
        for batch in (FEW, GRID_POINTS):
            for kind in ("share", "lambda", "maml"):
                for alpha in ALPHAS if kind != "lambda" else ALPHAS[1:]:
                    for seed in SEEDS:
                        mse = errors[kind](alpha, batch, seed) if callable(errors[kind]) else errors[kind]
                        facts = {"activation": activation, "batch": batch, "kind": kind, "alpha": alpha}
                        rows.append(
                            {
                                **facts,
                                "algorithm": kind,
                                "seed": seed,
                                "step": 0,
                                "points": "whole",
                                "mse": mse,
                            }
                        )
    # What random weights end at, which the table holds as well, counts for nothing.
    rows += [{**row, "algorithm": "random", "mse": 1.0} for row in rows]
    provenance = {"config": {"seeds": list(SEEDS)}}
    return Result({"adaptation": pd.DataFrame(rows)}, {}, provenance)


def test_a_share_that_decides_alone_is_told_from_a_size_of_alpha_that_cures():
    noisy = {alpha: 100.0 + 10.0 * i for i, alpha in enumerate(ALPHAS)}
    share = foretold(
        made_up(share=lambda alpha, batch, seed: noisy[alpha] + seed, **{"lambda": 1.0}, maml=1.0)
    )
    assert list(share.it) == [HOLDS] * 4
    size = foretold(
        made_up(share=lambda alpha, *_: 100.0 if alpha == ALPHAS[0] else 1.0, **{"lambda": 100.0}, maml=1.0)
    )
    assert list(size.it) == [FAILS, FAILS, HOLDS, FAILS]


def test_seeds_that_disagree_decide_nothing():
    split = foretold(made_up(**dict.fromkeys(("share", "lambda", "maml"), lambda *it: 100.0 * (it[-1] == 0))))
    assert list(split.it) == [OPEN] * 4


@pytest.mark.parametrize("lost", [np.nan, np.inf, BOUND])
def test_a_run_that_is_lost_does_not_learn(lost):
    result = made_up(share=lost, **{"lambda": 1.0}, maml=1.0)
    table = endings(result).set_index("seeds that stay")
    assert set(table.loc[f"share λα fixed, tanh, {FEW} points"]) == {"0 of 3"}
    assert list(table.loc[f"λ = 2 fixed, relu, {GRID_POINTS} points"]) == ["0 of 3", "3 of 3", "3 of 3"]
