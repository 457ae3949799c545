"""A module imports only from those above it in its house, and metalib nothing of the paper's."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import companion
import metalib

HOUSES = {house.__name__: Path(house.__file__).parent for house in (metalib, companion)}
FLOORS = {
    "metalib.models": ["mlp", "layers", "convnet"],
    "metalib.data": ["cache", "classes", "omniglot", "glyphs", "miniimagenet_classes", "miniimagenet"],
    "metalib.tasks": ["family", "sine", "schemes", "episodes", "fewshot"],
    "metalib.theory": ["taylor", "expectations"],
    "metalib.training": [
        *("outer_optimizers", "config", "shares", "minibatches", "outer", "checkpoints", "monitor", "loop"),
    ],
    "metalib.evaluation": ["regression", "classification"],
    "companion.publishing": ["artists", "table", "forms"],
    "companion.running": [
        *("allocator", "traced", "compiled", "experiment", "unfinished", "search", "stacks", "request"),
        *("assembly", "kept", "workers", "runner", "estimates", "heartbeats", "distributed"),
    ],
    "companion.sine": [
        *("scores", "experiments", "new_seeds", "settings", "search", "one_at_a_time"),
        *("summaries", "tuning", "figures", "claims"),
    ],
    "companion.glyphs": ["rendering", "figures"],
    "companion.fewshot": [
        *(
            "nearest_mean",
            "pieces",
            "scores",
            "settings",
            "pretraining",
            "table1",
            "table2",
            "longer",
            "methods",
            "methods_20_way",
            "table1_methods",
            "table1_equal_work",
            "fidelity",
            "fine_tuning",
            "evaluation_batch",
        ),
        *("figures", "evidence", "claims"),
    ],
    "companion.inner_gradients": [
        *("settings", "summaries", "figure3", "two_steps", "weights", "controls", "filters", "spectra"),
        *("foretold", "share", "share_foretold", "figures", "claims", "paper_length"),
    ],
    "companion.overlap": [
        *("settings", "summaries", "figure4a", "figure4b", "figure4c", "sensitivity", "late_gradients"),
        *("tails", "tails_foretold", "figures", "evidence", "claims"),
    ],
    "companion.expansion": ["polynomial", "problems", "remainders", "regime", "figures", "claims"],
    "companion.avg_grad_inner": ["coefficients", "draws", "training", "course", "figures", "claims"],
    "companion.scaling": ["compression", "cost", "summaries", "figures"],
    "companion.personalization": ["writers", "upright", "experiment", "claims", "figures", "summaries"],
    "companion.speed": ["summaries", "memory", "training", "figures"],
    "companion.implicit": ["linear_systems", "meta_gradient", "expansion", "training"],
    "companion.costs": [
        *("ways", "coefficients", "experiment", "omniglot", "variance", "summaries", "tables", "claims"),
        "figures",
    ],
    "companion.descendants": [
        *("rounds", "averaging", "diloco", "step_sizes", "regularizer", "proximal"),
        *("found", "averages", "gradients", "ledger", "similarity", "moving_layers", "summaries", "figures"),
    ],
    "companion.playground": ["weights"],
    "companion.manifolds": ["distance", "shapes", "examples", "limits", "figures", "claims"],
    "companion.questions": ["measurements", "many_steps", "figures"],
    "companion.pitfalls": ["updates", "optimizers", "data"],
}
"""The rooms of every folder, from the ground up. Those of the houses stand in their first pages."""


def listed(house: str) -> list[str]:
    """The rooms that the docstring of a house names."""
    return re.findall(r"^    (\w+) {2,}\S", importlib.import_module(house).__doc__ or "", flags=re.MULTILINE)


def imports(path: Path) -> set[str]:
    """The dotted names of all modules that a file imports from, with what is imported."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def below(folder: str, floors: list[str]) -> list[str]:
    """What the rooms of a folder import from a room that lies below themselves."""
    root = HOUSES[folder.split(".")[0]].joinpath(*folder.split(".")[1:])
    wrong = []
    for floor, room in enumerate(floors):
        files = [*root.glob(f"{room}.py"), *(root / room).glob("*.py")]
        lower = [f"{folder}.{other}." for other in floors[floor + 1 :]]
        for file in files:
            names = sorted(name for name in imports(file) if f"{name}.".startswith(tuple(lower)))
            wrong += [f"{file.relative_to(root.parent)} imports {name}" for name in names]
    return wrong


@pytest.mark.parametrize("house", HOUSES)
def test_every_room_of_a_house_imports_only_from_those_above_it(house):
    assert below(house, listed(house)) == []


@pytest.mark.parametrize("folder", FLOORS)
def test_every_room_of_a_folder_imports_only_from_those_above_it(folder):
    assert below(folder, FLOORS[folder]) == []


@pytest.mark.parametrize("house", HOUSES)
def test_the_list_in_the_docstring_of_a_house_is_complete(house):
    modules = {path.stem for path in HOUSES[house].glob("[a-z]*.py")}
    folders = {path.parent.name for path in HOUSES[house].glob("*/__init__.py")}
    assert set(listed(house)) == modules | folders


def test_every_folder_has_its_floors_named():
    folders = {
        f"{house}.{path.parent.name}" for house, root in HOUSES.items() for path in root.glob("*/__init__.py")
    }
    assert set(FLOORS) == folders
    for folder, floors in FLOORS.items():
        house, _, name = folder.partition(".")
        assert sorted(floors) == sorted(p.stem for p in (HOUSES[house] / name).glob("[a-z]*.py"))


def test_metalib_imports_nothing_of_the_paper():
    files = HOUSES["metalib"].rglob("*.py")
    assert [path.name for path in files if any(n.startswith("companion") for n in imports(path))] == []


@pytest.mark.parametrize("missing", ["typer", "joblib", "dask", "distributed", "matplotlib", "tqdm", "scipy"])
def test_metalib_imports_nothing_that_only_the_companion_needs(missing):
    files = HOUSES["metalib"].rglob("*.py")
    assert [path.name for path in files if any(n.split(".")[0] == missing for n in imports(path))] == []


def test_metalib_is_small_and_no_file_is_long():
    files = [path for root in HOUSES.values() for path in root.rglob("*.py")]
    lines = {path: len(path.read_text().splitlines()) for path in files}
    assert sum(count for path, count in lines.items() if HOUSES["metalib"] in path.parents) <= 4_500
    assert {path.name: count for path, count in lines.items() if count > 250} == {}


def test_no_room_is_called_utils():
    rooms = {path.stem for root in HOUSES.values() for path in root.rglob("*.py")}
    assert not {"utils", "helpers", "common", "misc"} & rooms


def test_a_room_that_imports_from_below_is_seen():
    assert below("metalib.training", FLOORS["metalib.training"][::-1]) != []
    assert below("metalib", listed("metalib")[::-1]) != []
