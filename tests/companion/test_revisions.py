"""Code that decides numbers has a revision, and is held to the numbers that it gave when it got that."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from companion.results import load_result
from companion.revisions import KEY, other_code, revised, without_revisions
from companion.running import runner
from metalib.errors import StoreError
from metalib.revisions import REVISIONS
from tests.companion.golden import GOLDEN, NUMBERS
from tests.companion.running.sweep import SWEEP, RecordLoss
from tests.rounding import OLDER
from tests.tolerances import FLOAT32

RESULTS = Path(__file__).parents[2] / "results"


@pytest.mark.parametrize("name", REVISIONS)
def test_the_code_of_a_revision_gives_the_numbers_that_it_gave_when_it_was_declared(name):
    revision, numbers = GOLDEN[name]
    assert REVISIONS[name] == revision, "a raised revision needs its own numbers here"
    assert NUMBERS[name]() == pytest.approx(numbers, rel=10 * FLOAT32), "other numbers need a raised revision"


def test_all_code_that_a_stored_result_names_is_held_to_its_numbers():
    stored = "".join(path.read_text() for path in RESULTS.glob("*/*/provenance.json"))
    named = set(re.findall(r'"kind": "([A-Z]\w+)"', stored))  # facts have small letters
    assert "RecordCurve" in named
    assert named <= set(GOLDEN) == set(REVISIONS)


def test_a_processor_that_rounds_otherwise_gives_them_too():
    """Libraries that think the processor an older one take other instructions, in another order."""
    same = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        __file__,
        "-k",
        "gives_the_numbers",
    ]
    found = subprocess.run(same, env={**os.environ, **OLDER}, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_a_configuration_names_its_code_at_any_depth_and_its_facts_name_none():
    unit = {"family": {"kind": "FewShot", "pool": {"kind": "ClassPool"}}, "facts": {"kind": "sum"}}
    identity = revised({"units": [unit]})
    assert identity[KEY] == {"training": 1, "evaluation": 1, "ClassPool": 1, "FewShot": 1}
    assert without_revisions(identity) == {"units": [unit]}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({}, "Sine of revision 1, now 3"),
        ({KEY: {}}, "Sine of revision 1, now 3"),
        ({KEY: {"Sine": 2}}, "Sine of revision 2, now 3"),
        ({KEY: {"Sine": 3}}, ""),
        ({KEY: {"Sine": 3, "training": 2}}, "training of revision 2, now 1"),
        ({KEY: {"Sine": 4, "Cosine": 2}}, "Cosine of revision 2, now 1, Sine of revision 4, now 3"),
        ({KEY: None}, "revisions that cannot be read"),
        ({KEY: "Sine"}, "revisions that cannot be read"),
    ],
)
def test_a_result_of_other_code_says_of_which(monkeypatch, stored, expected):
    monkeypatch.setitem(REVISIONS, "Sine", 3)
    assert other_code({"family": {"kind": "Sine"}, **stored}) == expected


def run(tmp_path, **keywords):
    return runner.run(SWEEP, "smoke", seeds=(0,), results=tmp_path, **keywords)


def test_a_result_of_other_code_is_not_returned_and_made_again_only_when_asked(tmp_path, monkeypatch):
    before = run(tmp_path).tables["rows"]
    folder = tmp_path / "sweep" / "smoke"
    monkeypatch.setitem(REVISIONS, "Sine", 2)
    for attempt in (lambda: run(tmp_path), lambda: load_result(folder)):
        with pytest.raises(StoreError, match=r"of other code \(Sine of revision 1, now 2\); .* --again"):
            attempt()
    assert load_result(folder, of_other_code=True).provenance["config"][KEY]["Sine"] == 1
    assert run(tmp_path, again=True).provenance["config"][KEY]["Sine"] == 2
    assert run(tmp_path).tables["rows"].equals(before), "the numbers are those of the same code"


def interrupted(tmp_path, monkeypatch):
    """Have one unit finished, and a checkpoint of the second."""
    recorded = []
    record = RecordLoss.__call__

    def stop(self, family, trained):
        recorded.append(self.name)
        if len(recorded) == 2:
            raise KeyboardInterrupt
        return record(self, family, trained)

    monkeypatch.setattr(RecordLoss, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.setattr(RecordLoss, "__call__", record)


def test_unfinished_work_of_other_code_is_not_gone_on_with_and_begun_anew_only_when_asked(
    tmp_path, monkeypatch
):
    interrupted(tmp_path, monkeypatch)
    monkeypatch.setitem(REVISIONS, "Sine", 2)
    with pytest.raises(StoreError, match=r"a result of other code \(Sine of revision 1, now 2\)"):
        run(tmp_path)
    (kept,) = (path.parent for path in tmp_path.glob(".unfinished/*/*/provenance.json"))
    shutil.rmtree(kept)
    with pytest.raises(StoreError, match=r"npz is the checkpoint of code that has been revised since"):
        run(tmp_path)
    assert run(tmp_path, again=True).provenance["config"][KEY]["Sine"] == 2


def test_work_begun_before_there_were_revisions_is_gone_on_with(tmp_path, monkeypatch):
    interrupted(tmp_path, monkeypatch)
    (path,) = tmp_path.glob(".unfinished/*/*/provenance.json")
    provenance = json.loads(path.read_text())
    for entry in ("sha256", "columns"):
        del provenance[entry]
    del provenance["config"][KEY]
    path.write_text(json.dumps(provenance))
    assert len(run(tmp_path).tables["rows"]) == 6
