"""A result can be made again from its provenance alone: one of every kind, at smoke size or less."""

import json
import shutil
import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from companion import remaking
from companion.__main__ import main
from companion.avg_grad_inner import course
from companion.avg_grad_inner.training import Probe
from companion.catalogue import EXPERIMENTS
from companion.fewshot import evaluation_batch, fine_tuning, methods, table1, table1_methods
from companion.fewshot.scores import Scoring
from companion.results import PROVENANCE, load_provenance, load_result, save_result, sealed
from companion.running import runner
from companion.sine import experiments as sine
from metalib.data.glyphs import glyphs
from metalib.errors import InputError, StoreError
from metalib.training import TrainingConfig

ON_PHOTOGRAPHS = replace(table1_methods.TABLE_1_METHODS, units=partial(table1_methods.units, glyphs))
"""One that has no twin on glyphs: here it is given them instead of Mini-ImageNet."""
HERE = [
    *(
        experiment
        for experiment in EXPERIMENTS.values()
        if not hasattr(experiment.units, "func") or experiment.units.args == (glyphs,)
    ),
    ON_PHOTOGRAPHS,
]
"""The experiments whose data come with the repository."""
RESULTS = Path(__file__).parents[2] / "results"


def kind(unit):
    """What decides which code trains and records a unit."""
    monitor = unit["monitor"] and unit["monitor"]["kind"]
    return unit["family"]["kind"], monitor, unit["record"]["kind"]


def smallest(experiment):
    """An experiment with its smallest budget cut down further: a few outer iterations, and two tasks."""
    budget = experiment.budgets["smoke"]
    fewer = {
        name: min(amount, 2) for name, amount in vars(budget).items() if name not in ("grid", "population")
    }
    fewer |= {"iterations": min(budget.iterations, 5), "evaluation_tasks": 2}
    return replace(experiment, budgets={"tiny": replace(budget, **fewer)})


def of_every_kind():
    """A unit of every kind that takes few inner steps, as (experiment, name of the unit)."""
    found = {}
    for experiment in HERE:
        tiny = smallest(experiment)
        for unit in tiny.units(tiny.budgets["tiny"], (0,)):
            found.setdefault(kind(unit.as_dict()), []).append((unit.inner_steps, experiment.name, unit.name))
    return {which: min(units)[1:] for which, units in found.items()}


KINDS = of_every_kind()


@pytest.fixture
def small_settings(monkeypatch):
    """Settings of recorders that take seconds, made small; identities hold them."""
    monkeypatch.setattr(fine_tuning, "GRID", fine_tuning.GRID[:2])
    for module in (methods, table1):
        monkeypatch.setattr(module, "Scoring", partial(Scoring, steps=2))
    monkeypatch.setitem(EXPERIMENTS, ON_PHOTOGRAPHS.name, ON_PHOTOGRAPHS)
    ways = (evaluation_batch.Evaluation(5, steps=2), evaluation_batch.Evaluation(15, steps=2))
    monkeypatch.setattr(evaluation_batch, "EVALUATIONS", ways)
    monkeypatch.setattr(
        course, "_probe", cache(partial(Probe.sample, permutations=1, phases=3, amplitudes=2))
    )


def test_every_kind_of_a_stored_result_is_among_them():
    for path in RESULTS.glob("*/*/provenance.json"):
        units = load_provenance(path)[0]["config"]["units"]
        assert {kind(unit) for unit in units} <= set(KINDS), path


def stored(experiment, unit, folder):
    """Run one unit, and return where the result is."""
    config = smallest(experiment).identity("tiny", (0,))
    config["units"] = [one for one in config["units"] if one["name"] == unit]
    made = remaking.recipe(json.loads(json.dumps(config)))
    runner.run(made.experiment, made.budget, seeds=made.seeds, results=folder)
    return folder / experiment.name / "tiny"


@pytest.mark.parametrize("which", KINDS, ids=lambda which: "-".join(str(part) for part in which))
def test_a_result_of_every_kind_is_made_again_from_its_provenance_alone(which, small_settings, tmp_path):
    experiment, unit = KINDS[which]
    folder = stored(EXPERIMENTS[experiment], unit, tmp_path)
    alone = shutil.copy(folder / PROVENANCE, tmp_path / "alone.json")
    said = remaking.remake(alone, tmp_path / "again")
    assert said == [f"{name}: the same, byte by byte" for name in load_provenance(alone)[1]]
    before, after = load_result(folder), load_result(tmp_path / "again" / experiment / "tiny")
    for name, table in before.tables.items():
        pd.testing.assert_frame_equal(table, after.tables[name], check_exact=True)
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(array, after.arrays[name])


def sine_sweep(folder):
    """A small result with three units."""
    return stored_whole(EXPERIMENTS["sine-meta-batch"], folder)


def stored_whole(experiment, folder):
    """Run all units under a budget that is none of today's, and return where the result is."""
    runner.run(smallest(experiment), "tiny", seeds=(0, 1), results=folder)
    return folder / experiment.name / "tiny"


def resealed(folder, change):
    """Write a provenance with another entry, sealed anew."""
    content = json.loads((folder / PROVENANCE).read_text())
    content.pop("sha256")
    change(content)
    (folder / PROVENANCE).write_bytes(sealed(content))


def test_single_units_are_made_again_and_compared_with_the_stored_tables(tmp_path):
    folder = sine_sweep(tmp_path)
    said = remaking.remake(folder, tmp_path / "again", ["serial"])
    assert said == ["adaptation.csv: equal", "history.csv: equal"]
    again = load_result(tmp_path / "again" / "sine-meta-batch" / "tiny")
    assert set(again.tables["history"].unit) == {"serial"}
    third = remaking.remake(tmp_path / "again" / "sine-meta-batch" / "tiny", tmp_path / "third")
    assert third
    assert all(line.endswith("the same, byte by byte") for line in third)
    alone = shutil.copy(folder / PROVENANCE, tmp_path / "alone.json")
    with pytest.raises(InputError, match="units can be compared only where the tables lie beside"):
        remaking.remake(Path(alone), tmp_path / "fourth", ["serial"])


def test_a_configuration_of_one_s_own_is_made_again(tmp_path):
    own = sine.custom(
        TrainingConfig(k=2, weights=(0.0, 1.0), algorithm="combination", iterations=3), "relu", 7, 4
    )
    runner.run(own, "custom", seeds=(5,), results=tmp_path)
    said = remaking.remake(tmp_path / own.name / "custom" / PROVENANCE, tmp_path / "again")
    assert len(said) == 3
    assert all(line.endswith("the same, byte by byte") for line in said)


def test_a_result_that_comes_out_different_is_told_with_how_much(tmp_path):
    folder = sine_sweep(tmp_path)
    result = load_result(folder)
    table = result.tables["adaptation"]
    table.loc[3, "mse"] += 0.25 * table.mse.abs().max()
    save_result(folder, result)
    with pytest.raises(
        StoreError, match=r"adaptation.csv: largest relative difference 2\.\de-01.*than roundoff"
    ):
        remaking.remake(folder, tmp_path / "again")
    with pytest.raises(StoreError, match=r"adaptation.csv came out different; put the stored files beside"):
        remaking.remake(shutil.copy(folder / PROVENANCE, tmp_path / "p.json"), tmp_path / "again")


def test_a_stored_table_that_was_changed_is_told_before_anything_is_made(tmp_path):
    folder = sine_sweep(tmp_path)
    (folder / "history.csv").write_text("unit\n")
    with pytest.raises(StoreError, match=r"history\.csv was changed after it was stored; restore it"):
        remaking.remake(folder, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_weights_that_come_out_different_are_not_passed_over_in_silence(tmp_path):
    folder = sine_sweep(tmp_path)
    result = load_result(folder)
    name = min(result.arrays)
    save_result(folder, replace(result, arrays={**result.arrays, name: result.arrays[name] + 1}))
    said = remaking.remake(folder, tmp_path / "again")
    assert said[-1] == "arrays.npz: other bytes; weights are compared through their scores"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda made: made["units"][1]["runs"][0].update(alpha=0.5),
            "another result: batched-same-steps.runs.0.alpha is 0.02 and was 0.5",
        ),
        (lambda made: made["units"][0].update(name="x"), "another result: x is None and was {"),
        (lambda made: made["revisions"].update(training=0), "of other code .training of revision 0, now 1"),
        (lambda made: made["budget"].pop("iterations"), "the budget of the result, .* is none of sine-meta"),
        (lambda made: made.update(format=1), "an earlier version wrote it"),
        (lambda made: made.update(experiment="sine"), "there is no experiment 'sine'"),
    ],
)
def test_what_today_s_code_would_not_make_is_refused_in_one_line(change, message, tmp_path):
    folder = sine_sweep(tmp_path)
    resealed(folder, lambda content: change(content["config"]))
    with pytest.raises((StoreError, InputError), match=message) as refused:
        remaking.remake(folder / PROVENANCE, tmp_path / "again")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "again").exists()


def test_the_command_rerun_says_what_came_out(tmp_path, monkeypatch, capsys):
    folder = sine_sweep(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["companion", "rerun", *map(str, arguments), "--jobs", "1"])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code or 0, *capsys.readouterr()

    code, out, _ = call(folder / PROVENANCE, "--units", "serial", "--results", tmp_path / "again")
    assert (code, out) == (0, "adaptation.csv: equal\nhistory.csv: equal\n")
    for arguments, message in (
        (
            (folder, "--results", tmp_path),
            f"--results is {tmp_path}, where the stored result is; name another",
        ),
        ((folder, "--units", "x"), "--units names 'x', which the result lacks; it has serial, batched-same-"),
        ((tmp_path / "nothing.json",), f"{tmp_path / 'nothing.json'} is missing; copy it once more"),
        ((tmp_path / "nowhere" / "p.json",), f"there is no result in {tmp_path / 'nowhere'}"),
        (("",), "provenance is empty; name a folder"),
    ):
        code, out, said = call(*arguments)
        assert (code, out) == (2, "")
        assert said.startswith(f"companion: {message}")
        assert said.count("\n") == 1


def test_tables_that_differ_in_shape_words_or_where_they_are_finite_are_infinitely_far_apart():
    table = pd.DataFrame({"unit": ["a", "b"], "loss": [1.0, np.inf]})
    assert remaking.largest_difference(table, table.copy()) == 0
    for other in (
        table[:1],
        table.rename(columns={"loss": "mse"}),
        table.assign(unit=["a", "c"]),
        table.assign(loss=[1.0, 2.0]),
        table.assign(loss=[1.0, -np.inf]),
    ):
        assert remaking.largest_difference(table, other) == np.inf


def test_a_difference_that_grows_in_training_is_told_from_one_that_is_there_at_once():
    history = pd.DataFrame({"iteration": [0, 100, 200], "loss": [3.0, 2.0, 1.0]})
    grown = history.assign(loss=[3.0, 2.0 + 1e-12, 1.1])
    assert remaking._since(history, grown) == ", roundoff up to iteration 100"
    assert remaking._since(history, history.assign(loss=[3.1, 2.0, 1.0])) == ""
    assert remaking._since(history[["loss"]], grown[["loss"]]) == ""


def test_units_with_columns_that_others_lack_are_compared_in_their_own(tmp_path):
    """Of a unit's facts the stored table holds those of all units."""
    experiment = EXPERIMENTS["figure3-weights-glyphs"]
    folder = stored_whole(experiment, tmp_path)
    units = {unit["name"]: unit for unit in load_result(folder).provenance["config"]["units"]}
    facts = {tuple(unit["facts"]): name for name, unit in units.items()}
    assert len(facts) >= 2
    for i, name in enumerate(facts.values()):
        said = remaking.remake(folder, tmp_path / str(i), [name])
        assert all(line.endswith("equal") for line in said)


def test_a_missing_word_is_like_itself():
    table = pd.DataFrame({"way": ["a", None], "loss": [1.0, 2.0]})
    assert remaking.largest_difference(table, table.copy()) == 0
    assert remaking.largest_difference(table, table.assign(way=["a", "b"])) == np.inf


def test_another_result_is_never_replaced(tmp_path):
    folder = sine_sweep(tmp_path)
    other = tmp_path / "runs" / "sine-meta-batch" / "tiny"
    runner.run(smallest(EXPERIMENTS["sine-meta-batch"]), "tiny", seeds=(2,), results=tmp_path / "runs")
    before = (other / PROVENANCE).read_bytes()
    with pytest.raises(
        InputError, match=r"results is .*runs, where .*tiny holds another result; name another"
    ):
        remaking.remake(folder, tmp_path / "runs")
    assert (other / PROVENANCE).read_bytes() == before
    with pytest.raises(InputError, match="holds another result"):
        remaking.remake(other, tmp_path, ["serial"])
    resealed(other, lambda content: content.pop("config"))
    with pytest.raises(InputError, match="holds another result"):
        remaking.remake(folder, tmp_path / "runs")
    (other / PROVENANCE).write_text("damaged")
    with pytest.raises(InputError, match="holds another result"):
        remaking.remake(folder, tmp_path / "runs")


def test_single_units_may_be_made_one_after_the_other_in_one_place(tmp_path):
    folder = sine_sweep(tmp_path)
    for units in (["serial"], ["batched-same-steps"], []):
        said = remaking.remake(folder, tmp_path / "again", units)
        assert said
        assert all(line.endswith((": equal", "byte by byte")) for line in said)


def test_rerun_under_torchrun_is_refused_before_anything_is_computed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "of torchrun")
    monkeypatch.setattr(sys, "argv", ["companion", "rerun", str(tmp_path), "--results", str(tmp_path / "r")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "rerun is not spread over processes; start it without torchrun" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
