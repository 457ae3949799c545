"""Where the sources of the book are, and how the tests of this folder read them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode

from companion.publishing.forms import SWITCH

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
"""The committed notebooks."""


def pages() -> list[str]:
    """Return the pages of the table of contents, without suffix, in the order of reading."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def read(path: Path) -> NotebookNode:
    """Read a notebook."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells that hold code, empty ones left out as notebooks do not count them."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def outputs(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode]]:
    """Yield every output with its cell."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            yield cell, output


def printed(output: NotebookNode) -> str:
    """Return what an output says in words and numbers; nbval compares it."""
    if output.output_type == "stream":
        return output.text
    data = output.get("data", {})
    return data.get("text/markdown") or data.get("text/plain", "")


def run(
    *command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program with its output joined and captured; notebooks only show their figures, for speed."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**(os.environ if env is None else env), SWITCH: "none"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def python(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the interpreter of the tests."""
    return run(sys.executable, *arguments, **options)  # type: ignore[arg-type]


def compare_outputs(
    notebook: Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Execute a notebook again and compare everything that it prints (nbval)."""
    env = {**(os.environ if env is None else env), "PYTHONPATH": str(Path(__file__).parent)}
    return python(
        "-m",
        "pytest",
        "--nbval",
        "--nbval-cell-timeout=600",
        *("-p", "nbval_forms", "-p", "no:cacheprovider", "-p", "no:xdist"),
        *("-o", "addopts=", "-o", "filterwarnings=default", "-q"),
        notebook,
        cwd=cwd,
        env=env,
    )


def build_book(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build the book from nothing, warnings as errors, into `target`/_build/html."""
    program = Path(sys.executable).with_name("jupyter-book")
    return run(program, "build", source, "--path-output", target, "-W", "-n", "--keep-going", "-q")
