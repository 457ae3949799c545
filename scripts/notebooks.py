"""Execute notebooks with papermill, all of them in place or one with other parameters, and take figures out.

python scripts/notebooks.py execute notebooks/*.ipynb
python scripts/notebooks.py run notebooks/sine.ipynb -p seed 3 -p device cuda
python scripts/notebooks.py picture notebooks/sine.ipynb fig-sine-curves book/_static/figure-1.png
"""

from __future__ import annotations

import argparse
import ast
import base64
import logging
import resource
import sys
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import nbformat
import papermill
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from metalib.store import written_beside

RUNS = Path("runs")
RUNNING = "running_seconds"
"""Where a notebook notes how long it computes."""
KEPT_CELL_METADATA = ("tags", "mystnb")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


KINDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", list: "a sequence"}
REFUSALS = ("InputError", "StoreError", "DivergenceError", "WorkerError", "MetalibError")
"""Errors of metalib that say all there is to say in one line."""


def read(path: Path) -> NotebookNode:
    """Read a notebook, or exit with one line that says why it is none."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror or error}")
    except Exception as error:  # of a dozen kinds: JSON's, the schema's, attributes that are not there
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        fail(f"{path} is no notebook ({reason[:100]}); name one, such as NB=notebooks/sine.ipynb")
    return notebook


def parameters_of(path: Path) -> dict[str, str]:
    """Return the parameters of a notebook with their defaults, as written in the cell tagged `parameters`."""
    if not read(path).metadata.get("kernelspec"):
        fail(f"{path} does not say which kernel runs it; save it in Jupyter once")
    return {name: found["default"] for name, found in papermill.inspect_notebook(str(path)).items()}


def parse_value(text: str) -> Any:
    """Read a parameter from the command line: a Python literal, or else a string.

    Tuples become lists, the only sequences that papermill hands on.

    >>> parse_value("3"), parse_value("1e-3"), parse_value("cuda"), parse_value("(1, 5)")
    (3, 0.001, 'cuda', [1, 5])
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return list(value) if isinstance(value, tuple) else value


def fitting(name: str, text: str, default: str) -> Any:
    """Return the value of a parameter, or exit with one line if it is not of the kind of its default.

    >>> fitting("seed", "3", "0"), fitting("results", "2026", "'runs'"), fitting("ks", "(1, 5)", "(2, 3)")
    (3, '2026', [1, 5])
    """
    value, usual = parse_value(text), parse_value(default)
    if isinstance(usual, str):
        return value if isinstance(value, str) else text
    if usual is not None and not _alike(value, usual):
        fail(f"{name} is {text!r}; it must be {KINDS[type(usual)]}, such as {default}")
    return value


def _alike(value: Any, usual: Any) -> bool:
    """Return whether a value is of the kind of another; a whole number is a number, a truth value is none."""
    if isinstance(usual, list):
        return isinstance(value, list) and all(_alike(part, usual[0]) for part in value if usual)
    kinds = (int, float) if isinstance(usual, float) else type(usual)
    return isinstance(value, kinds) and isinstance(value, bool) == isinstance(usual, bool)


def chosen(path: Path, given: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the parameters that are given, or exit with one line if the notebook has no such parameter.

    papermill would only log it.
    """
    known = parameters_of(path)
    unknown = sorted({name for name, _ in given} - set(known))
    if unknown:
        fail(f"{path} has no parameter {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    return {name: fitting(name, text, known[name]) for name, text in given}


ROUND_SECONDS = (5, 10, 20, 30, 60, 120, 180, 300, 600, 1200)
"""What running times are rounded up to."""


def clean(notebook: NotebookNode, seconds: float, noted: int | None = None) -> NotebookNode:
    """Keep what readers see and drop what differs from one execution to the next.

    Metadata of the executing tool (times, paths, versions) goes; neighboring pieces of one printed
    stream, whose borders depend on timing, become one. The page says how long it computes, roughly: a time
    that was noted before stays as long as it is right to a factor of two.

    Args:
        notebook: an executed notebook.
        seconds: processor time that it took.
        noted: the running time that it named before.
    """
    if noted is None or not noted / 2 <= seconds <= noted * 2:
        noted = next((n for n in ROUND_SECONDS if n >= seconds), ROUND_SECONDS[-1])
    notebook.metadata = nbformat.from_dict({**METADATA, RUNNING: noted})
    for cell in notebook.cells:
        kept = {name: cell.metadata[name] for name in KEPT_CELL_METADATA if cell.metadata.get(name)}
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
    return notebook


def merge_streams(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Join neighboring outputs of the same stream."""
    merged: list[NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def execute(source: Path, target: Path, parameters: Mapping[str, Any] | None = None) -> float:
    """Execute a notebook in its own folder, write it to `target`, return its processor time in seconds.

    What is written has no traces of where and when. `target` is written only if every cell succeeds; if one
    fails, the program ends with its traceback and says where the half-executed notebook is.
    """
    logging.getLogger("papermill").setLevel(logging.ERROR)
    noted = nbformat.read(source, as_version=4).metadata.get(RUNNING)
    started = _seconds_of_kernels()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, source.name)
        try:
            papermill.execute_notebook(
                str(source),
                str(output),
                parameters=dict(parameters or {}),
                cwd=str(source.parent),
                kernel_name="python3",
                progress_bar=False,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )
        except PapermillExecutionError as error:
            RUNS.mkdir(exist_ok=True)
            failed = RUNS / f"failed-{source.name}"
            failed.write_bytes(output.read_bytes())
            reason = f": {error.evalue}" if error.ename in REFUSALS else ""
            line = f"{source} failed in cell {error.exec_count}{reason}; as far as it came it is in {failed}"
            fail(line if reason else f"{line}\n{error}")
        except RuntimeError as error:  # the kernel died, perhaps because memory ran out
            fail(f"{source} was given up: {str(error).splitlines()[0]}")
        seconds = _seconds_of_kernels() - started
        notebook = clean(nbformat.read(output, as_version=4), seconds, noted)
    with written_beside(target) as temporary:
        nbformat.write(notebook, temporary)
    return seconds


def _seconds_of_kernels() -> float:
    """Return the processor time of all kernels that have ended, which does not grow while others compute."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def name_of(source: Path, parameters: Mapping[str, Any]) -> str:
    """Name the file that a run with other parameters is written to.

    Where the name does not hold all that was asked for, a digest of it tells it from others.

    >>> name_of(Path("notebooks/sine.ipynb"), {"seed": 3, "device": "cuda"})
    'sine-seed-3-device-cuda.ipynb'
    >>> name_of(Path("notebooks/sine.ipynb"), {"results": "a/b"})
    'sine-results-a_b-239cdb15.ipynb'
    """
    suffix = "".join(f"-{name}-{value}" for name, value in parameters.items())
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in suffix)[:150]
    told = "" if safe == suffix else f"-{sha256(suffix.encode()).hexdigest()[:8]}"
    return f"{source.stem}{safe}{told}.ipynb"


def picture(path: Path, name: str) -> bytes:
    """Return a figure of an executed notebook as PNG, by the name that its cell gives it."""
    cells = nbformat.read(path, as_version=4).cells
    named = [cell for cell in cells if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == name]
    if not named:
        fail(f"{path} has no figure {name}")
    (image,) = [out.data["image/png"] for out in named[0].outputs if "image/png" in out.get("data", {})]
    return base64.b64decode(image)


def fail(message: str) -> NoReturn:
    """Print the message and exit with 2."""
    print(message, file=sys.stderr)
    raise SystemExit(2)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    in_place = commands.add_parser("execute", help="execute notebooks again, in place")
    in_place.add_argument("notebooks", nargs="+", type=Path)
    single = commands.add_parser("run", help="run one notebook with other parameters")
    single.add_argument("notebook", type=Path)
    single.add_argument(
        "-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE")
    )
    single.add_argument("--into", type=Path, default=RUNS, help="folder of the executed notebook")
    figure = commands.add_parser("picture", help="write a figure of a notebook to a file of its own")
    figure.add_argument("notebook", type=Path)
    figure.add_argument("name")
    figure.add_argument("file", type=Path)
    return parser.parse_args()


def main() -> None:
    """Do what the command line asks."""
    given = arguments()
    for path in given.notebooks if given.command == "execute" else [given.notebook]:
        if not path.is_file():
            fail(f"there is no notebook {path}; name one, such as NB=notebooks/sine.ipynb")
    if given.command == "execute":
        for path in given.notebooks:
            read(path)
            print(f"{path} executed in {execute(path, path):.0f} s")
        return
    if given.command == "picture":
        with written_beside(given.file) as new:
            new.write_bytes(picture(given.notebook, given.name))
        return
    parameters = chosen(given.notebook, given.parameters)
    if given.into.exists() and not given.into.is_dir():
        fail(f"{given.into} is a file; name a folder for the executed notebook")
    target = given.into / name_of(given.notebook, parameters)
    execute(given.notebook, target, parameters)
    print(f"The executed notebook is {target}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted; a notebook that was not finished is as it was", file=sys.stderr)
        sys.exit(130)
