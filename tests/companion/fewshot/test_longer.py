"""What was said of longer runs of Table 2: each sentence true and false, on made-up cells."""

import pandas as pd
import pytest

from companion.fewshot import longer, table2
from companion.verdicts import FAILS, HOLDS, OPEN
from tests.tolerances import FLOAT32


def cells(
    gap: float, error: float, seeds: tuple[int, ...] = (0,), helps: float = 0.0, ways: int = 5
) -> pd.DataFrame:
    """Made-up seeds, every cell as far from the paper; `helps` is what transduction adds beyond the paper."""
    paper = {key: mean for key, (mean, _) in table2.PAPER.items() if key[0] == ways}
    found = {key: mean + gap for key, mean in paper.items()}
    for shots in (1, 5):
        published = paper[(ways, shots, "transductive")] - paper[(ways, shots, "inductive")]
        found[(ways, shots, "difference")] = published + helps
    return pd.DataFrame(
        [
            {"algorithm": "reptile", "seed": seed, "classes": "test", "ways": ways, "shots": shots,
             "mode": mode, "accuracy": accuracy + spread, "standard_error": error}
            for seed, spread in zip(seeds, (0.0, 0.1, -0.1), strict=False)
            for (ways, shots, mode), accuracy in found.items()
        ]
    )  # fmt: skip


SHORTER = pd.concat([cells(-5.0, 0.3, seeds=(0, 1, 2), helps=2.0, ways=ways) for ways in (5, 20)])


@pytest.mark.parametrize(
    ("gap", "helps", "error", "verdicts"),
    [
        (-0.3, 0.0, 0.05, [HOLDS, HOLDS, HOLDS]),
        (-3.0, 4.0, 0.05, [FAILS, HOLDS, FAILS]),
        (-7.0, 2.0, 0.05, [FAILS, FAILS, OPEN]),
        (+3.0, 0.0, 0.05, [FAILS, HOLDS, HOLDS]),
        (-1.0, 2.0, 0.05, [OPEN, HOLDS, OPEN]),
        (-5.0, 2.0, 0.05, [FAILS, OPEN, OPEN]),
        (-0.3, 0.0, 5.0, [OPEN, OPEN, OPEN]),
    ],
)
def test_what_was_said_is_judged_by_intervals_over_tasks(gap, helps, error, verdicts):
    assert list(longer.expected_of_five_ways(cells(gap, error, helps=helps), SHORTER).verdict) == verdicts


@pytest.mark.parametrize(
    ("gap", "error", "verdicts"),
    [
        (-2.0, 0.05, [HOLDS, HOLDS]),
        (-8.0, 0.05, [FAILS, HOLDS]),
        (+2.0, 0.05, [HOLDS, FAILS]),
        (-2.5, 5.0, [OPEN, OPEN]),
    ],
)
def test_what_was_said_of_twenty_ways_is_judged_likewise(gap, error, verdicts):
    found = longer.expected_of_twenty_ways(cells(gap, error, ways=20), SHORTER)
    assert list(found.verdict) == verdicts


def test_one_cell_outside_the_margin_refutes_the_first_sentence():
    near = cells(-0.3, 0.05)
    one = (near.shots == 5) & (near["mode"] == "inductive")
    near.loc[one, "accuracy"] -= 2.0
    assert longer.expected_of_five_ways(near, SHORTER).verdict[0] == FAILS


def test_one_network_has_an_interval_over_its_test_tasks_only():
    other = cells(-0.3, 9.0).assign(classes="train", accuracy=0.0)
    found = longer.test_accuracy(pd.concat([cells(-0.3, 0.5), other]))
    assert len(found) == 6
    row = found.set_index(["shots", "mode"]).loc[(1, "inductive")]
    assert (row["mean"], row.high - row["mean"]) == pytest.approx((95.09, 1.96 * 0.5), rel=FLOAT32)


def test_longer_runs_stand_beside_the_cell_that_is_theirs():
    both = pd.concat([cells(-0.3, 0.5), cells(-2.0, 0.5, ways=20)])
    found = longer.beside_shorter(both, SHORTER).set_index(["ways", "shots", "mode"])
    assert len(found) == 8
    assert list(found.loc[(5, 1, "inductive")]) == ["90.4 ± 0.2", "95.1 ± 1.0", "95.39"]
    assert list(found.loc[(20, 5, "transductive")]) == ["92.1 ± 0.2", "95.1 ± 1.0", "97.12"]
