"""Verdicts on what was said of tails seen in part."""

import pandas as pd
import pytest

from companion.overlap.figures import tails as draw
from companion.overlap.tails import SHARES
from companion.overlap.tails_foretold import as_table, curves, foretold, lost
from companion.results import Result
from companion.verdicts import FAILS, HOLDS, OPEN


def made_up(own, rescaled):
    """A result whose accuracies are functions of the share and the seed."""
    rows = [
        {"curve": f"{length}-{share:g}", "seen": share, "length": length, "seed": seed, "mode": mode}
        | {"accuracy": accuracy(share, seed) - 50 * (mode == "transductive")}
        for length, accuracy in (("own", own), ("rescaled", rescaled))
        for share in SHARES
        if share or length == "own"
        for seed in range(3)
        for mode in ("inductive", "transductive")
    ]
    return Result({"accuracy": pd.DataFrame(rows)}, {}, {})


def falling(share, seed):
    return 90 - 1.5 * seed - 20 * share**2


@pytest.mark.parametrize(
    ("own", "rescaled", "verdicts"),
    [
        (falling, falling, [HOLDS, HOLDS, HOLDS, HOLDS]),
        (falling, lambda share, seed: falling(0, seed), [HOLDS, HOLDS, FAILS, HOLDS]),
        (lambda share, seed: 80 + seed, lambda share, seed: 80 + seed, [OPEN, FAILS, OPEN, HOLDS]),
        (lambda share, seed: 50 + 30 * share, falling, [FAILS, FAILS, OPEN, FAILS]),
        (lambda share, seed: 80 + (20 * share) * (seed - 1), falling, [OPEN, OPEN, OPEN, OPEN]),
    ],
    ids=["direction", "length", "neither", "the other way", "noise"],
)
def test_what_was_said_holds_where_runs_do_what_it_says(own, rescaled, verdicts):
    assert list(foretold(made_up(own, rescaled)).it) == verdicts


def test_the_loss_is_paired_by_seed_and_takes_the_inductive_mode():
    assert f"{lost(made_up(falling, falling)):.1f}" == "20.0 ± 0.0"


def test_a_new_tail_stands_in_both_curves_and_in_the_table_once():
    found = curves(made_up(falling, lambda share, seed: 70.0))
    assert list(found.groupby("length").size()) == [len(SHARES), len(SHARES)]
    table = as_table(made_up(falling, lambda share, seed: 70.0))
    assert list(table["seen before"]) == ["0%", "25%", "50%", "75%", "100%"]
    assert table.difference[0] == ""
    assert len(draw(found).axes[0].containers) == 2
