"""Ways to evaluate trained weights: from what they start, on which tasks, what is decided."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from companion.fewshot import evaluation_batch
from companion.fewshot.evaluation_batch import (
    EVALUATIONS,
    Evaluation,
    RecordEvaluations,
    gain_of,
    gains,
    it_explains_the_gap,
    it_matters,
    moments_of,
)
from companion.fewshot.scores import Scoring, score
from companion.results import load_result
from companion.verdicts import FAILS, HOLDS, OPEN
from metalib.tasks.episodes import sample_episodes
from metalib.training import train
from tests.tolerances import EXACT

CPU = torch.device("cpu")


def unit_of(seed: int):
    experiment = evaluation_batch.EVALUATION_BATCH_GLYPHS
    (unit,) = experiment.units(experiment.budgets["smoke"], (seed,))
    return unit


@pytest.fixture(scope="module")
def trained():
    """The run of seed 2, as training hands it to the record."""
    unit = unit_of(2)
    return train(unit.family, unit.configs)


def test_it_starts_from_the_weights_and_moments_with_which_the_seed_ended(trained):
    stored = load_result(evaluation_batch.STORED).arrays
    moments = moments_of(2, CPU)
    assert moments.steps == 10_000 * 5 * 5
    for name, value in trained.phi.items():
        assert np.array_equal(value[0].numpy(), stored[f"reptile-5-way/phi/{name}"][2]), "nothing has moved"
        assert np.array_equal(
            moments.moments["second"][name][0].numpy(), stored[f"reptile-5-way/second/{name}"][2]
        )


def test_the_first_way_is_that_of_table_2_and_gains_are_paired_by_task(trained, monkeypatch):
    ways = (EVALUATIONS[0], Evaluation(10, steps=3), Evaluation(5, steps=3, moments="fresh"))
    ways = (replace(ways[0], steps=3), *ways[1:])
    monkeypatch.setattr(evaluation_batch, "EVALUATIONS", ways)
    family, tasks = unit_of(2).family, 6
    found = RecordEvaluations(tasks)(family, trained).tables["accuracy"]
    table = found[found["mode"] == "inductive"].set_index(["batch", "moments"])
    as_trained = replace(trained, inner=moments_of(2, CPU))
    fresh = replace(trained, inner=trained.configs[0].optimizer().initial_state(trained.phi))
    for way, start in (((5, "carried"), as_trained), ((10, "carried"), as_trained), ((5, "fresh"), fresh)):
        scoring = Scoring(tasks, steps=3, batch=way[0], shots=(5,), classes=("test",))
        expected = score(family, start, scoring).set_index("mode").loc["inductive"]
        assert table.loc[way, "accuracy"] == pytest.approx(expected.accuracy, rel=EXACT)
        assert table.loc[way, "standard_error"] == pytest.approx(expected.standard_error, rel=EXACT)
    assert table.loc[(5, "carried"), "gain"] == 0.0
    assert np.allclose(table.gain, table.accuracy - table.loc[(5, "carried"), "accuracy"])


def test_every_way_is_scored_on_the_same_tasks():
    pool = unit_of(0).family.pool
    one, *others = (
        sample_episodes(pool, 0, 9, shots=5, steps=way.steps, batch=way.batch) for way in EVALUATIONS
    )
    for other in others:
        assert np.array_equal(one.query, other.query)
        assert np.array_equal(one.support, other.support)


def table(gain: float, error: float = 0.1, base: float = 96.6) -> pd.DataFrame:
    """Three seeds whose gain with 15 images is about `gain`, each with that standard error."""
    rows = [
        {"batch": batch, "steps": 50, "moments": "carried", "mode": mode, "seed": seed,
         "accuracy": base + added, "gain": added, "gain_error": error, "standard_error": 0.3}
        for seed, off in enumerate((-0.1, 0.0, 0.1))
        for batch, added in ((5, 0.0), (15, gain + off))
        for mode in evaluation_batch.MODES
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("gain", "error", "matters", "explains"),
    [
        (2.0, 0.1, HOLDS, HOLDS),
        (0.6, 0.1, HOLDS, FAILS),
        (0.1, 0.1, OPEN, FAILS),
        (-0.6, 0.1, FAILS, FAILS),
        (1.0, 0.9, OPEN, OPEN),
    ],
)
def test_what_the_gain_decides(gain, error, matters, explains):
    rows = table(gain, error)
    found = gain_of(rows, Evaluation(15))
    assert found.mean == pytest.approx(gain)
    assert found.high - gain == pytest.approx(1.96 * error / 3**0.5), "the mean of three seeds"
    table_2 = load_result(evaluation_batch.STORED).tables["accuracy"]
    assert (it_matters(rows), it_explains_the_gap(rows, table_2)) == (matters, explains)


def test_what_the_page_shows_needs_no_results_beside_the_package(monkeypatch, tmp_path):
    """As where companion is installed as a wheel, and the results lie where the notebook says."""
    table_2 = load_result(evaluation_batch.STORED).tables["accuracy"]
    monkeypatch.setattr(evaluation_batch, "STORED", tmp_path)
    assert list(evaluation_batch.expected(table(0.6), table_2).verdict) == [HOLDS, FAILS]


def test_the_usual_accuracy_is_that_of_the_first_way_over_all_tasks():
    found = evaluation_batch.usual(table(0.6))
    assert (found.mean, found.high) == pytest.approx((96.6, 96.6 + 1.96 * 0.3 / 3**0.5))


def test_accuracy_stands_beside_the_gain_of_its_own_way():
    summary = gains(table(0.6), "inductive").set_index("batch")
    assert dict(summary.accuracy) == pytest.approx({5: 96.6, 15: 97.2})
    assert dict(summary["mean"]) == pytest.approx({5: 0.0, 15: 0.6})
    assert (summary.least[15], summary.most[15]) == pytest.approx((0.5, 0.7))


def test_a_seed_that_was_not_trained_is_an_error_of_one_line():
    with pytest.raises(ValueError, match="seed is 7; weights are stored of the seeds 0, 1, 2"):
        unit_of(7).family.initialize(7)
