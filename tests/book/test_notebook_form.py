"""Committed notebooks are thin, executed, and free of traces of the machine that executed them."""

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat import NotebookNode

from tests.book.sources import NOTEBOOKS, code_cells, outputs, printed, read

EACH_NOTEBOOK = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

TRACES = re.compile(
    r"(?:^|[\s'\"(=])(?:/(?:home|root|tmp|usr|opt|var|Users|mnt|private)/|[A-Z]:\\)"  # absolute paths
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d"  # timestamps
    r"|0x[0-9a-f]{8,}"  # addresses in memory
)
INSTALLS = re.compile(r"^\s*[!%]|\bpip install\b|\bsubprocess\b", re.MULTILINE)
CLOCK = re.compile(r"\btime\.time\b|\bdatetime\b|\burandom\b|\bdefault_rng\(\)|seed\(\)")


@EACH_NOTEBOOK
def test_notebook_is_valid_and_asks_for_the_kernel_that_every_machine_has(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) - {"running_seconds"} == {"kernelspec", "language_info"}
    assert "version" not in notebook.metadata.language_info


@EACH_NOTEBOOK
def test_first_code_cell_holds_the_parameters_and_only_them(path):
    first = code_cells(read(path))[0]
    assert "parameters" in first.metadata.get("tags", [])
    statements = ast.parse(first.source).body
    assert all(isinstance(statement, ast.Assign | ast.AnnAssign) for statement in statements)
    targets = [s.targets[0] if isinstance(s, ast.Assign) else s.target for s in statements]
    assigned = [ast.unparse(target) for target in targets]
    assert list(papermill.inspect_notebook(str(path))) == assigned, "papermill must see every parameter"


@EACH_NOTEBOOK
def test_notebook_is_committed_executed_from_top_to_bottom(path):
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@EACH_NOTEBOOK
def test_notebook_ended_without_error_and_without_complaint(path):
    for cell, output in outputs(read(path)):
        assert output.output_type != "error", cell.source
        assert not (output.output_type == "stream" and output.name == "stderr"), output.text


@EACH_NOTEBOOK
def test_nbval_has_something_to_compare(path):
    notebook = read(path)
    compared = [cell for cell, output in outputs(notebook) if re.search(r"\d", printed(output))]
    assert compared, "print at least one number"
    skipped = {"nbval-skip", "nbval-ignore-output", "raises-exception"}
    assert not [cell.source for cell in code_cells(notebook) if skipped & set(cell.metadata.get("tags", []))]
    markers = re.compile(r"#\s*(NBVAL_|PYTEST_VALIDATE_IGNORE)")
    assert not [cell.source for cell in code_cells(notebook) if markers.search(cell.source)]


@EACH_NOTEBOOK
def test_notebook_calls_the_library_and_defines_nothing(path):
    for cell in code_cells(read(path)):
        tree = ast.parse(cell.source)
        defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.While)
        assert not [node for node in ast.walk(tree) if isinstance(node, defined)], cell.source
        assert not INSTALLS.search(cell.source), cell.source
        assert not CLOCK.search(cell.source), cell.source


@EACH_NOTEBOOK
def test_no_cell_ends_in_a_semicolon(path):
    """nbval runs cells without history, where a last semicolon does not silence their value."""
    ending = [cell.source for cell in code_cells(read(path)) if cell.source.rstrip().endswith(";")]
    assert not ending, "give the last value a name instead"


@EACH_NOTEBOOK
def test_notebook_holds_no_trace_of_where_and_when_it_ran(path):
    notebook = read(path)
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "mystnb"}, cell.metadata
    for cell, output in outputs(notebook):
        assert not TRACES.search(printed(output)), (cell.source, printed(output))


def shows_figure(cell: NotebookNode) -> bool:
    return any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {}))


@EACH_NOTEBOOK
def test_every_figure_has_alternative_text_a_caption_and_a_name(path):
    for cell in filter(shows_figure, code_cells(read(path))):
        settings = cell.metadata.get("mystnb", {})
        assert len(settings.get("image", {}).get("alt", "").split()) >= 5, cell.source
        assert settings.get("figure", {}).get("caption"), cell.source
        assert settings.get("figure", {}).get("name"), cell.source


@EACH_NOTEBOOK
def test_numbers_are_printed_beside_every_figure(path):
    """Images are never compared, so what a figure shows must also be said."""
    cells = code_cells(read(path))
    for i, cell in enumerate(cells):
        beside = [output for near in cells[max(i - 1, 0) : i + 2] for output in near.outputs]
        assert not shows_figure(cell) or any(re.search(r"\d", printed(out)) for out in beside), cell.source


@EACH_NOTEBOOK
def test_file_is_written_as_the_cleaning_script_writes_it(path):
    assert path.read_text() == nbformat.writes(read(path)) + "\n"


def test_traces_are_recognized():
    traces = (f"saved to {Path.home() / 'x'}", "2026-01-02T03:04", "<Axes at 0x7f12ab34cd56>")
    for trace in traces:
        assert TRACES.search(trace)
    assert not TRACES.search("a/b = 3/4, slope 2.00, 1-64-64-1")
