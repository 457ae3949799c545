"""The checks are checked: each is green on a scratch copy, and red once the copy is damaged."""

import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from companion.prose import RECORD
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
        output.data["text/markdown" if "text/markdown" in output.data else "text/plain"] = corrupted
    nbformat.write(notebook, beginning)
    result = compare_outputs(beginning, cwd=beginning.parent)
    assert result.returncode == 1, result.stdout
    assert "Cell outputs differ" in result.stdout


def test_a_number_that_the_text_quotes_is_compared(tmp_path):
    path = tmp_path / "quoting.ipynb"
    cell = nbformat.v4.new_code_cell(
        "from companion.prose import tell\ntell(error='0.12')", execution_count=1
    )
    cell.outputs = [nbformat.v4.new_output("display_data", data={f"{RECORD}text/plain": "'0.13'"})]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    result = compare_outputs(path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert result.returncode == 1
    assert "'0.13'" in result.stdout


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
        shutil.copytree(
            ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", ".unfinished")
        )
    for file in ("_config.yml", "_toc.yml", "index.md", "CITATION.cff", "requirements.txt"):
        shutil.copy(ROOT / file, copy)
    return copy


BROKEN = {
    "{cite}`nobody1999`": "could not find bibtex key",
    "[Eq. 99](#eq-99)": "'eq-99'",
    "{prf:ref}`no-such-algorithm`": "no-such-algorithm",
    "[](book/nowhere.md)": "book/nowhere.md",
    "{numref}`fig-no`": "fig-no",
    "{measured}`sine:nothing`": "no cell of sine.ipynb tells 'nothing'",
}
"""References to what does not exist, and what is said of them."""


def test_broken_references_are_seen(pages, tmp_path):
    index = pages / "index.md"
    index.write_text("\n\n".join([index.read_text(), *BROKEN]))
    result = build_book(pages, tmp_path / "broken")
    assert result.returncode != 0
    for reference, said in BROKEN.items():
        complaints = [line for line in result.stdout.splitlines() if "index.md" in line and said in line]
        assert complaints, (reference, result.stdout)


def test_a_claim_without_its_result_is_seen(pages, tmp_path):
    shutil.rmtree(pages / "results" / "figure4b")
    result = build_book(pages, tmp_path / "broken")
    assert result.returncode != 0
    assert "figure4b/laptop, which is not stored" in result.stdout


def test_the_copy_of_the_pages_builds(pages, tmp_path):
    result = build_book(pages, tmp_path / "whole")
    assert result.returncode == 0, result.stdout
