"""What was said of Figure 3 at the paper's length: each sentence true and false, on made-up curves."""

import pandas as pd
import pytest

from companion.inner_gradients import paper_length
from companion.inner_gradients.claims import Evidence
from companion.results import Result
from companion.verdicts import FAILS, HOLDS, OPEN

FORESEEN = {
    "4-last": 96.0, "4-average": 97.0, "4-sum": 98.0,
    "3-last": 95.5, "3-average": 96.0, "3-sum": 97.0,
    "2-last": 95.0, "2-average": 93.0, "2-sum": 94.0,
    "1-first": 30.0,
}  # fmt: skip
BEFORE = {**dict.fromkeys(FORESEEN, 90.0), "1-first": 33.0}
EMPTY = Result({"accuracy": pd.DataFrame()})


def evidence(accuracies: dict[str, float], spread: float = 1e-4) -> Evidence:
    """Three made-up seeds on either side of the mean, each curve twice as far as the one before."""
    rows = [
        {"curve": curve, "kind": curve[2:], "k": int(curve[0]), "mode": "inductive", "seed": seed,
         "accuracy": accuracy + (seed - 1) * spread * 2**position}
        for position, (curve, accuracy) in enumerate(accuracies.items())
        for seed in (0, 1, 2)
    ]  # fmt: skip
    return Evidence(Result({"accuracy": pd.DataFrame(rows)}), EMPTY, EMPTY)


def verdicts(**otherwise: float) -> list[str]:
    """The verdicts if some curves end otherwise than foreseen."""
    ends = {**FORESEEN, **{f"{name[-1]}-{name[:-1]}": value for name, value in otherwise.items()}}
    return list(paper_length.expected(evidence(ends), evidence(BEFORE)).verdict)


def test_all_sentences_hold_where_the_runs_end_as_foreseen():
    assert verdicts() == [HOLDS] * 6


@pytest.mark.parametrize(
    ("sentence", "otherwise"),
    [
        (0, {"average4": 99.0}),
        (1, {"last3": 89.0}),
        (2, {"first1": 40.0}),
        (3, {"sum2": 94.8}),
        (4, {"last4": 94.0}),
        (5, {"average4": 93.5}),
    ],
)
def test_one_curve_that_ends_otherwise_refutes_a_sentence(sentence, otherwise):
    assert verdicts(**otherwise)[sentence] == FAILS


def test_seeds_that_disagree_decide_nothing():
    said = paper_length.expected(evidence(FORESEEN, 20.0), evidence(BEFORE, -20.0))
    assert set(said.verdict) == {OPEN}
