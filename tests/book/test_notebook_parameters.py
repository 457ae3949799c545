"""Every notebook runs with other parameters: the smallest budget, another seed, each algorithm."""

import ast
import os
from pathlib import Path

import pandas as pd
import papermill
import pytest
from nbformat import NotebookNode

from companion.publishing.forms import SWITCH
from metalib.models.mlp import ACTIVATIONS
from metalib.training.config import ALGORITHMS
from tests.book.sources import NOTEBOOKS, code_cells, outputs, printed, python, read

SMALL = {
    "budget": "smoke",
    "iterations": 20,
    "evaluation_tasks": 20,
    "training_iterations": 50,
    "halvings": 3,
    "ks": [2, 3],
    "samples": 50,
    "checkpoints": [0, 100, 200],
    "outer_steps": 50,
}
"""What makes a run short, for the notebooks that have such a parameter."""

NOTHING_RANDOM = {"costs", "manifolds", "scale", "speed"}
"""Notebooks whose pages show exact geometry, or stored measurements alone: they have no seed."""

ONLY_DRAWN = {"overlap"}
"""Notebooks whose short runs show in figures alone."""

STORED = {"costs": "costs", "scale": "measurements", "speed": "measurements"}
"""Of those that show stored measurements alone: the parameter that names them."""

CHOICES = {
    "algorithm": [name for name in ALGORITHMS if name != "combination"],  # which needs weights of its own
    "activation": list(ACTIVATIONS),
}


def defaults(path: Path) -> dict[str, object]:
    inspected = papermill.inspect_notebook(str(path))
    return {name: ast.literal_eval(parameter["default"]) for name, parameter in inspected.items()}


def variations(path: Path) -> list[dict[str, object]]:
    """Return the parameters of each run: the smallest budget, then one change at a time beside it."""
    given = defaults(path)
    base = {name: value for name, value in SMALL.items() if name in given}
    changes: list[dict[str, object]] = []
    if "seed" in given:
        changes.append({"seed": given["seed"] + 1})
    if "seeds" in given:
        changes.append({"seeds": tuple(seed + 10 for seed in given["seeds"])})
    for name, choices in CHOICES.items():
        if name in given:
            changes += [{name: choice} for choice in choices if choice != given[name]]
    return [base, *[base | change for change in changes]]


def execute(path: Path, parameters: dict[str, object], folder: Path, forms: str = "all") -> NotebookNode:
    """Run a notebook as `make notebook` does."""
    flags = [part for name, value in parameters.items() for part in ("-p", name, str(value))]
    environment = {**os.environ, SWITCH: forms}
    result = python("scripts/notebooks.py", "run", path, *flags, "--into", folder, env=environment)
    assert result.returncode == 0, result.stdout
    written = read(Path(result.stdout.strip().splitlines()[-1].removeprefix("The executed notebook is ")))
    cells = code_cells(written)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    if parameters:
        injected = [cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])]
        assert len(injected) == 1
        assert all(f"{name} = " in injected[0] for name in parameters)
    return written


def words(notebook: NotebookNode) -> list[str]:
    """Return what a notebook says in words and numbers."""
    return [printed(output) for _, output in outputs(notebook)]


def shown(notebook: NotebookNode) -> list[str]:
    """Return what a notebook shows, figures included."""
    return words(notebook) + [output.get("data", {}).get("image/png", "") for _, output in outputs(notebook)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_with_other_parameters_and_heeds_them(path, tmp_path):
    base, *changed = variations(path)
    assert base or changed or path.stem in STORED
    # Where nothing makes a run shorter, the smallest is the committed one, whose words are the same on every
    # machine; its figures may differ in a pixel.
    look, reference = (shown, execute(path, base, tmp_path)) if base else (words, read(path))
    for parameters in changed[:1]:
        assert look(execute(path, parameters, tmp_path)) != look(reference), f"{parameters} changes nothing"
    # A choice of a method must show in the words alone; to draw all forms of all figures takes longest.
    for parameters in changed[1:]:
        only_words = execute(path, parameters, tmp_path, forms="none")
        assert words(only_words) != words(reference), f"{parameters} changes nothing that is said"
    if base and path.stem not in ONLY_DRAWN:
        assert words(reference) != words(read(path)), f"{base} changes nothing that is said"


@pytest.mark.parametrize("stem", ["costs", "scale"])
def test_a_page_of_measurements_heeds_which_they_are(stem, tmp_path):
    path = next(path for path in NOTEBOOKS if path.stem == stem)
    measured = pd.read_csv(path.parent / str(defaults(path)[STORED[stem]]))
    measured.assign(seconds=3 * measured.seconds).to_csv(tmp_path / "slower.csv", index=False)
    run = execute(path, {STORED[stem]: str(tmp_path / "slower.csv")}, tmp_path, forms="none")
    assert words(run) != words(read(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_can_be_given_another_seed(path):
    assert path.stem in NOTHING_RANDOM or {"seed", "seeds"} & set(defaults(path))
