"""Scoring that is interrupted goes on where it stopped."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from companion.budgets import Budget
from companion.fewshot import pieces, scores, table1
from companion.fewshot.pieces import Pieces
from companion.running import runner
from companion.running.experiment import Checkpoint
from metalib.errors import StoreError
from metalib.evaluation.classification import Accuracies
from metalib.tasks.episodes import Episodes
from tests.companion.fewshot.test_table1 import quick_units

TINY = replace(table1.TABLE_1, budgets={"smoke": Budget(1, 4)}, units=quick_units)
STEPS = 2 * 2 * 4 * 2
"""Two shots, two sides of the split, four tasks, two steps."""


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "TASKS", 2)


def test_scoring_that_is_interrupted_ends_where_an_undisturbed_one_does(tmp_path, monkeypatch, small_pieces):
    whole = runner.run(TINY, "smoke", seeds=(0,), results=tmp_path / "whole")
    accuracies, judged = scores.accuracies, []

    def interrupted(*given):
        judged.append(given)
        if len(judged) == 4:
            raise KeyboardInterrupt
        return accuracies(*given)

    monkeypatch.setattr(scores, "accuracies", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner.run(TINY, "smoke", seeds=(0,), results=tmp_path / "parts")
    assert list((tmp_path / "parts").rglob("reptile-seed-0.record.npz"))
    result = runner.run(TINY, "smoke", seeds=(0,), results=tmp_path / "parts")
    assert len(judged) == 8 + 1, "of eight pieces only the one that was interrupted is scored twice"
    for name, table in whole.tables.items():
        pd.testing.assert_frame_equal(result.tables[name], table, check_exact=True)


def test_pieces_of_any_size_give_the_same_scores(tmp_path, monkeypatch):
    found = []
    for size in (1, 3, 50):
        monkeypatch.setattr(pieces, "TASKS", size)
        results = tmp_path / str(size)
        found.append(runner.run(TINY, "smoke", seeds=(0,), results=results).tables["accuracy"])
    pd.testing.assert_frame_equal(found[0], found[1])
    pd.testing.assert_frame_equal(found[0], found[2])


def chance(episodes: list[Episodes]) -> list[Accuracies]:
    """A fifth of every task without transduction, and two fifths with it."""
    return [Accuracies(np.full(len(one.query), 0.4), np.full(len(one.query), 0.2)) for one in episodes]


def of_tasks(count: int) -> Episodes:
    return Episodes(*(np.zeros((count, 5), int) for _ in range(4)))


def test_the_work_is_counted_to_its_end(small_pieces):
    (unit,) = quick_units(TINY.budgets["smoke"], (0,))
    assert unit.record.inner_steps == STEPS
    assert unit.inner_steps == unit.training_steps + STEPS
    counted = []
    kept = Pieces(callback=counted.append)
    for i in range(4):
        kept.of(str(i)).score(chance, [of_tasks(4)], steps=2)
    assert counted == list(range(4, STEPS + 1, 4))


def test_runs_and_modes_are_not_mixed_up(small_pieces):
    def judge(some):
        return [chance(some[:1])[0], chance(some[1:])[0].undefined()]

    one, other = Pieces().score(judge, 2 * [of_tasks(3)], steps=1)
    assert one.transductive.tolist() == [0.4, 0.4, 0.4]
    assert one.inductive.tolist() == [0.2, 0.2, 0.2]
    assert np.isnan([*other.transductive, *other.inductive]).all()


@pytest.mark.parametrize(
    ("identity", "tasks", "message"),
    [("other", 4, "belongs to other runs"), ("mine", 3, "is damaged: a/0 has")],
)
def test_what_something_else_has_left_is_refused(tmp_path, identity, tasks, message):
    path = tmp_path / "unit.record.npz"
    Pieces(Checkpoint(path, "mine")).of("a").score(chance, [of_tasks(4)], steps=2)
    with pytest.raises(StoreError, match=message):
        Pieces.resumed(Checkpoint(path, identity)).of("a").score(chance, [of_tasks(tasks)], steps=2)
