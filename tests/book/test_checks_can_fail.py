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
    for folder in ("book", "notebooks", "metalib", "companion", "tests", "results"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
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


def test_a_claim_without_its_result_is_seen(pages, tmp_path):
    shutil.rmtree(pages / "results" / "figure4b")
    result = build_book(pages, tmp_path / "broken")
    assert result.returncode != 0
    assert "figure4b/laptop, which is not stored" in result.stdout


def test_the_copy_of_the_pages_builds(pages, tmp_path):
    result = build_book(pages, tmp_path / "whole")
    assert result.returncode == 0, result.stdout
