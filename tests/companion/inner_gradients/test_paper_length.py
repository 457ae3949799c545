"""What was said of Figure 3 at the paper's length: each sentence true and false, on made-up curves."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from companion.inner_gradients import paper_length
from companion.inner_gradients.claims import Evidence
from companion.results import Result
from companion.verdicts import FAILS, HOLDS, OPEN
from metalib.errors import StoreError

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
    ran = {"config": {"budget": {"iterations": 1_000}, "seeds": [0, 1, 2]}}
    return Evidence(Result({"accuracy": pd.DataFrame(rows)}, provenance=ran), EMPTY, EMPTY)


def first_seed(found: Evidence) -> Evidence:
    """The same evidence from one seed alone, each network scored with a standard error of half a point."""
    accuracy = found.accuracy[found.accuracy.seed == 0].assign(standard_error=0.5)
    ran = {"config": {"budget": {"iterations": 4_000}, "seeds": [0]}}
    return replace(found, figure3=Result({"accuracy": accuracy}, provenance=ran))


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


def test_one_seed_is_told_without_an_interval_and_decides_nothing():
    said = paper_length.expected(first_seed(evidence(FORESEEN)), evidence(BEFORE))
    assert set(said.verdict) == {OPEN}
    assert list(said["measured (points)"])[3:5] == ["+1.0 (one seed)", "+1.0 (one seed)"]


def test_a_long_run_stands_beside_the_shorter_ones_with_the_interval_that_its_tasks_leave():
    beside = paper_length.beside_shorter(first_seed(evidence(FORESEEN)), evidence(BEFORE))
    assert list(beside.curve) == list(FORESEEN)
    last = beside.set_index("curve").loc["4-last"]
    assert last["4,000 iterations, one seed (%)"] == "96.0 ± 1.0"
    assert last["1,000 iterations, 3 seeds (%)"].startswith("90.0 ± 0.0")


def test_of_several_seeds_the_interval_is_over_seeds():
    ran = {"config": {"budget": {"iterations": 4_000}, "seeds": [0, 1, 2]}}
    three = evidence(FORESEEN, 1.0)
    long = replace(three, figure3=replace(three.figure3, provenance=ran))
    found = paper_length.beside_shorter(long, evidence(BEFORE)).set_index("curve")
    assert found["4,000 iterations, 3 seeds (%)"]["4-last"] == "96.0 ± 2.5", "Student's t of three seeds"


def along_training(**rises: float) -> Evidence:
    """Three seeds that agree up to a constant, measured eight times; a curve rises by so much at each."""
    rows = [
        {"curve": f"2-{kind}", "seed": seed, "iteration": 100 * look, "inductive": seed + rise * look}
        for kind, rise in rises.items()
        for seed in (0, 1, 2)
        for look in range(9)
    ]
    return Evidence(Result({"accuracy": pd.DataFrame(), "history": pd.DataFrame(rows)}), EMPTY, EMPTY)


def test_a_lead_is_averaged_within_every_quarter_of_training():
    """Rises of 3 and 2 per look, two looks in a quarter: leads of 1 and 2, then 3 and 4, and so on."""
    found = paper_length.lead_through_training(along_training(last=3.0, sum=2.0), "2-last", {"2-sum": "lead"})
    assert list(found["outer iterations"]) == ["1 to 200", "201 to 400", "401 to 600", "601 to 800"]
    assert list(found.lead) == ["+1.5 ± 0.0", "+3.5 ± 0.0", "+5.5 ± 0.0", "+7.5 ± 0.0"]


def test_a_run_that_diverged_within_a_quarter_has_no_lead_there():
    evidence = along_training(last=3.0, sum=2.0)
    history = evidence.figure3.tables["history"]
    lost = (history.curve == "2-last") & (history.seed == 1) & (history.iteration > 500)
    history.loc[lost, "inductive"] = float("nan")
    found = paper_length.lead_through_training(evidence, "2-last", {"2-sum": "lead"})
    assert list(found.lead) == ["+1.5 ± 0.0", "+3.5 ± 0.0", "diverged", "diverged"]


def test_the_shorter_runs_take_the_place_of_the_long_ones_where_both_are_stored():
    long, short = evidence(FORESEEN), evidence(BEFORE)
    both = replace(long, shorter=short.figure3)
    assert both.of_shorter_runs.accuracy.equals(short.accuracy)
    assert both.of_shorter_runs.shorter is None


def test_without_long_runs_the_page_says_how_to_make_them():
    with pytest.raises(StoreError, match="run figure3 --budget paper"):
        _ = evidence(BEFORE).of_shorter_runs


def test_figure_3_is_read_at_the_papers_length_where_it_was_run_so(tmp_path):
    """Results of a reader may lack it; then the shorter runs are Figure 3, and nothing lies beside them."""
    stored = Path(__file__).parents[3] / "results"
    for name in ("figure3", "figure3-weights", "figure3-controls"):
        shutil.copytree(stored / name / "laptop", tmp_path / name / "laptop")
    alone, beside = (Evidence.load(folder, "laptop") for folder in (tmp_path, stored))
    assert alone.shorter is None
    assert alone.budget == beside.of_shorter_runs.budget == "10,000 iterations, 3 seeds"
    assert beside.budget == "40,000 iterations, 3 seeds"
