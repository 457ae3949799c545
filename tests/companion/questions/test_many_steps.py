"""What was said of 20 and 50 inner steps: each sentence true and false, on made-up errors."""

import pandas as pd
import pytest

from companion.questions.many_steps import expected
from companion.results import Result
from companion.verdicts import FAILS, HOLDS, OPEN

FORESEEN = {
    "reptile": {10: 0.06, 20: 0.07, 50: 0.08},
    "maml": {10: 0.2, 20: 1.0, 50: 2.0},
    "fomaml": {10: 0.3, 20: 1.0, 50: 2.0},
}


def runs(errors, spread: float = 1e-5) -> Result:
    rows = [
        {"algorithm": name, "steps": k, "step": 10, "points": "whole", "seed": seed,
         "mse": mse + seed * spread * k, "mse_standard_error": 0.001}
        for name, by_k in errors.items() for k, mse in by_k.items() for seed in (0, 1, 2)
    ]  # fmt: skip
    return Result({"adaptation": pd.DataFrame(rows)})


def otherwise(name, k, error):
    return {**FORESEEN, name: {**FORESEEN[name], k: error}}


def test_all_sentences_hold_where_the_runs_end_as_foreseen():
    assert list(expected(runs(FORESEEN)).verdict) == [HOLDS] * 3


@pytest.mark.parametrize(
    ("sentence", "errors"),
    [
        (0, otherwise("fomaml", 50, -1.0)),
        (1, otherwise("maml", 50, 0.5)),
        (2, otherwise("reptile", 50, 0.5)),
    ],
)
def test_one_run_that_ends_otherwise_refutes_a_sentence(sentence, errors):
    assert expected(runs(errors)).verdict[sentence] == FAILS


def test_a_run_that_diverged_decides_nothing_and_is_named():
    found = expected(runs(otherwise("maml", 50, float("nan"))))
    assert list(found.verdict) == [OPEN, OPEN, HOLDS]
    assert "MAML at 50 diverged" in found.measured[0]
