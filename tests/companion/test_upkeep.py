"""`status` says how it stands with every result, and `clean` removes unfinished work and nothing else."""

import io
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock

from companion.__main__ import main
from companion.budgets import BUDGETS
from companion.catalogue import EXPERIMENTS
from companion.results import Result, save_result
from companion.running.experiment import FORMAT
from companion.running.unfinished import Log

STORED = Path(__file__).parents[2] / "results"
SMOKE = {"name": "smoke", **BUDGETS["sine-figure-1"]["smoke"].as_dict()}


@pytest.fixture
def companion(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["companion", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), capsys.readouterr()

    return call


def state(companion, results, experiment="sine-figure-1", budget="smoke"):
    code, printed = companion("status", "--results", str(results))
    assert code == 0
    (line,) = [row for row in printed.out.splitlines() if row.split()[:2] == [experiment, budget]]
    return line.split(maxsplit=2)[2]


def store(results, config, experiment="sine-figure-1", budget="smoke"):
    table = pd.DataFrame({"x": [1]})
    save_result(results / experiment / budget, Result({"rows": table}, {}, {"config": config}))


def test_every_stored_result_of_the_repository_is_complete(companion):
    code, printed = companion("status", "--results", str(STORED))
    assert code == 0
    complete = [line.split()[:2] for line in printed.out.splitlines() if " complete, seeds [" in line]
    stored = [[p.parent.parent.name, p.parent.name] for p in STORED.glob("*/*/provenance.json")]
    assert sorted(complete) == sorted(stored)
    assert "damaged" not in printed.out
    assert "but of another" not in printed.out


def test_every_experiment_and_budget_has_its_line_where_nothing_is_begun(companion, tmp_path):
    _, printed = companion("status", "--results", str(tmp_path / "nothing"))
    rows = [line.split(maxsplit=2) for line in printed.out.splitlines()]
    assert rows == [[e.name, b, "not begun"] for e in EXPERIMENTS.values() for b in e.budgets]
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"format": FORMAT, "budget": SMOKE, "seeds": [0]}, "complete, seeds [0]"),
        ({"format": 1, "budget": SMOKE, "seeds": [0]}, "complete, but of another version"),
        (
            {"format": FORMAT, "budget": SMOKE, "seeds": [0], "revisions": {"training": 0}},
            "complete, but of other code (training of revision 0, now 1)",
        ),
        ({"format": FORMAT, "budget": {**SMOKE, "iterations": 7}}, "complete, but of another budget"),
        (None, "complete, but of another version"),
        (["a", "list"], "complete, but of another version"),
    ],
)
def test_a_whole_result_is_compared_with_the_present_budget(companion, tmp_path, config, expected):
    store(tmp_path, config)
    assert state(companion, tmp_path) == expected


@pytest.mark.parametrize("name", ["rows.csv", "provenance.json"])
def test_a_damaged_result_is_called_so(companion, tmp_path, name):
    store(tmp_path, {"format": FORMAT, "budget": SMOKE})
    (tmp_path / "sine-figure-1" / "smoke" / name).write_text("{")
    assert state(companion, tmp_path).startswith("damaged: ")


def test_a_result_of_a_configuration_of_ones_own_is_listed(companion, tmp_path):
    store(tmp_path, {"format": FORMAT, "seeds": [3]}, "sine-reptile-1", "custom")
    assert state(companion, tmp_path, "sine-reptile-1", "custom") == "complete, seeds [3]"


def unfinished(results):
    work = results / ".unfinished" / "sine-figure-1-smoke"
    (work / "a").mkdir(parents=True)
    (work / "b.npz").write_bytes(b"")
    (work.parent / "sine-figure-1-smoke.lock").touch()
    return work


def test_unfinished_work_is_counted(companion, tmp_path):
    work = unfinished(tmp_path)
    (work / "a.npz").write_bytes(b"")  # superfluous: the unit is finished
    (work / "b.record.npz").write_bytes(b"")  # what is scored of the same run
    assert state(companion, tmp_path) == "unfinished: 1 units finished, 1 with a checkpoint"
    Log(work).reached(1, 8)
    assert re.fullmatch(
        r"unfinished: 1 units finished, 1 with a checkpoint; 12.5 % on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
        state(companion, tmp_path),
    )


def test_unfinished_work_of_other_code_is_called_so(companion, tmp_path):
    store(tmp_path, {"revisions": {"Sine": 2}}, ".unfinished/sine-figure-1-smoke", "a")
    assert state(companion, tmp_path).endswith("; of other code (Sine of revision 2, now 1)")


def test_clean_removes_unfinished_work_and_leaves_results(companion, tmp_path):
    unfinished(tmp_path)
    store(tmp_path, {"format": FORMAT, "budget": SMOKE, "seeds": [0]})
    code, printed = companion("clean", "--yes", "--results", str(tmp_path))
    assert (code, printed.out.splitlines()[-1]) == (0, "sine-figure-1-smoke: removed")
    assert not (tmp_path / ".unfinished").exists()
    assert state(companion, tmp_path) == "complete, seeds [0]"


@pytest.mark.parametrize(("typed", "left"), [("", True), ("\n", True), ("n\n", True), ("y\n", False)])
def test_clean_removes_nothing_without_a_yes(companion, monkeypatch, tmp_path, typed, left):
    work = unfinished(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    code, _ = companion("clean", "--results", str(tmp_path))
    assert code == int(left)
    assert (work / "a").is_dir() == left


def test_clean_leaves_what_another_process_is_at_work_on(companion, tmp_path):
    work = unfinished(tmp_path)
    with FileLock(work.with_name("sine-figure-1-smoke.lock")):
        code, printed = companion("clean", "--yes", "--results", str(tmp_path))
    assert (code, printed.out.splitlines()[-1]) == (
        0,
        "sine-figure-1-smoke: left, another process is at work on it",
    )
    assert (work / "a").is_dir()


def test_clean_where_nothing_is_unfinished_says_so(companion, tmp_path):
    code, printed = companion("clean", "--results", str(tmp_path))
    assert (code, printed.out) == (0, f"nothing is unfinished in {tmp_path}\n")


def test_what_rerun_has_made_is_no_damaged_result(companion, tmp_path):
    """It goes to a folder of results inside the folder of results."""
    store(tmp_path / "again", {"format": FORMAT, "budget": SMOKE, "seeds": [0]})
    _, printed = companion("status", "--results", str(tmp_path))
    assert "again" not in printed.out
    assert state(companion, tmp_path / "again") == "complete, seeds [0]"


def test_what_the_disk_does_not_let_go_is_named(companion, monkeypatch, tmp_path):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    work = unfinished(tmp_path)
    monkeypatch.setattr("companion.upkeep.shutil.rmtree", refuse)
    code, printed = companion("clean", "--yes", "--results", str(tmp_path))
    assert (code, printed.err) == (2, f"companion: cannot remove {work}: Permission denied\n")
