"""The checks are checked: each is green on a scratch copy, and red once the copy is damaged."""

import re
import shutil
from pathlib import Path

import nbformat
import pytest

from tests.book.sources import NOTEBOOKS, ROOT, build_book, code_cells, compare_outputs, printed, python, read

NUMBER = re.compile(r"\d(?=\D*$)")
"""The last digit of a text."""


def first_number(path: Path) -> int:
    """Return the index of the first code cell that prints a number."""
    cells = code_cells(read(path))
    prints = [any(NUMBER.search(printed(output)) for output in cell.outputs) for cell in cells]
    return prints.index(True)


@pytest.fixture
def beginning(tmp_path: Path) -> Path:
    """Return a copy of the notebook that prints a number soonest, cut off after that cell."""
    source = min(NOTEBOOKS, key=first_number)
    notebook = read(source)
    kept = code_cells(notebook)[: first_number(source) + 1]
    notebook.cells = [cell for cell in notebook.cells if cell in kept]
    copy = tmp_path / "notebooks" / source.name
    copy.parent.mkdir()
    nbformat.write(notebook, copy)
    return copy


@pytest.mark.skipif(not NOTEBOOKS, reason="there is no notebook")
def test_a_corrupted_digit_is_seen(beginning):
    assert compare_outputs(beginning, cwd=beginning.parent).returncode == 0
    notebook = read(beginning)
    output = next(out for out in code_cells(notebook)[-1].outputs if NUMBER.search(printed(out)))
    corrupted = NUMBER.sub(lambda digit: str((int(digit[0]) + 1) % 10), printed(output))
    if output.output_type == "stream":
        output.text = corrupted
    else:
        output.data["text/plain"] = corrupted
    nbformat.write(notebook, beginning)
    result = compare_outputs(beginning, cwd=beginning.parent)
    assert result.returncode == 1, result.stdout
    assert "Cell outputs differ" in result.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_wrong_parameter_name_is_refused_in_one_line(path, tmp_path):
    result = python("scripts/notebooks.py", "run", path, "-p", "sede", "3", "--into", tmp_path)
    assert result.returncode == 2
    assert "has no parameter sede; it has " in result.stdout
    assert len(result.stdout.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """Return a copy of everything that the book is made from."""
    copy = tmp_path / "pages"
    for folder in ("book", "notebooks", "metalib", "companion"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("_config.yml", "_toc.yml", "index.md"):
        shutil.copy(ROOT / file, copy)
    return copy


@pytest.mark.parametrize(
    "reference",
    [
        "{cite}`nobody1999`",
        "[Eq. 99](#eq-99)",
        "{prf:ref}`no-such-algorithm`",
        "[](book/nowhere.md)",
        "{numref}`fig-no`",
    ],
)
def test_a_broken_reference_is_seen(pages, reference, tmp_path):
    index = pages / "index.md"
    index.write_text(f"{index.read_text()}\n{reference}\n")
    result = build_book(pages, tmp_path / "broken")
    assert result.returncode != 0
    assert "WARNING" in result.stdout


def test_the_copy_of_the_pages_builds(pages, tmp_path):
    result = build_book(pages, tmp_path / "whole")
    assert result.returncode == 0, result.stdout


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Return a copy of the code and its tests, which import the copy."""
    copy = tmp_path / "library"
    for name in ("metalib", "companion", "scripts", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, copy)
    return copy


ALGORITHMS = "tests/paper/test_algorithms.py"
WRONG_RULES = {
    "fomaml-takes-the-first-gradient": (
        "metalib/meta_gradients.py",
        "return trajectory.g[-1]",
        "return trajectory.g[0]",
        f"{ALGORITHMS}::test_eq_4_fomaml_replaces_the_jacobian_by_the_identity",
    ),
    "maml-adds-the-second-derivative": (
        "metalib/meta_gradients.py",
        "hvp(loss, phi, v), -trajectory.alpha)",
        "hvp(loss, phi, v), trajectory.alpha)",
        f"{ALGORITHMS}::test_eq_3_maml_is_the_derivative_through_the_update",
    ),
    "reptile-forgets-the-last-gradient": (
        "metalib/meta_gradients.py",
        "return (1.0,) * k",
        "return (1.0,) * (k - 1) + (0.0,)",
        f"{ALGORITHMS}::test_k_equal_1_makes_all_methods_equal",
    ),
    "outer-step-moves-away": (
        "metalib/training/outer.py",
        "add_scaled(state.phi, direction, -epsilon)",
        "add_scaled(state.phi, direction, epsilon)",
        f"{ALGORITHMS}::test_eq_5_batched_reptile_moves_by_the_mean_of_the_differences_of_its_tasks",
    ),
}


def run_tests(library: Path, *tests: str) -> tuple[int, str]:
    flags = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=--import-mode=importlib")
    result = python("-m", "pytest", *flags, *tests, cwd=library)
    return result.returncode, result.stdout


def test_the_copy_of_the_library_passes(library):
    code, text = run_tests(library, *(test for *_, test in WRONG_RULES.values()))
    assert code == 0, text
    assert f"{len(WRONG_RULES)} passed" in text


@pytest.mark.parametrize("rule", WRONG_RULES)
def test_a_wrong_update_rule_is_seen(library, rule):
    file, right, wrong, test = WRONG_RULES[rule]
    source = (library / file).read_text()
    assert source.count(right) == 1, f"{file} no longer holds {right!r} once: say which rule to break"
    (library / file).write_text(source.replace(right, wrong))
    code, text = run_tests(library, test)
    assert code == 1, text
    assert "1 failed" in text
