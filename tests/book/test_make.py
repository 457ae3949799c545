"""The commands: what the documentation names exists, and setting up survives what happens to people."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
import yaml

import metalib
from companion.__main__ import app
from companion.catalogue import EXPERIMENTS
from tests.book.sources import ROOT, python, run

MAKEFILE = (ROOT / "Makefile").read_text()
DOCUMENTS = [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "index.md", "book/reproduce.md", "book/data.md")
]

# Plays Python: it makes an environment that holds a copy of itself, and writes down what pip is asked for.
PRETENDER = r"""#!/bin/sh
case "$*" in
  *version_info*) [ ! -e old ] ;;
  --version) echo "Python 3.9.6" ;;
  "-m venv"*) rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo "$*" >>log ;;
  *"pip install"*) echo pip >>log; [ ! -e broken ] ;;
  *getcwd*) printf %s "$PWD" ;;
  *"open("*) cat .venv/.complete ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout whose path holds spaces, and where nothing needs to be downloaded."""
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    python = folder / "python"
    python.write_text(PRETENDER)
    python.chmod(0o755)
    return folder


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return run("make", "environment", "PYTHON=./python", *arguments, cwd=checkout, env=environment)


def log(checkout: Path) -> list[str]:
    """Return what was done since the last look."""
    path = checkout / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_second_set_up_does_nothing(checkout):
    assert make(checkout).returncode == 0
    assert log(checkout) == ["-m venv --clear .venv", "pip", "pip"]
    assert make(checkout).returncode == 0
    assert log(checkout) == []


def test_interrupted_set_up_is_made_anew(checkout):
    (checkout / "broken").touch()
    assert make(checkout).returncode != 0
    assert not (checkout / ".venv" / ".complete").exists()
    (checkout / "broken").unlink()
    log(checkout)
    assert make(checkout).returncode == 0
    assert log(checkout) == ["-m venv --clear .venv", "pip", "pip"]


def test_changed_requirements_are_installed(checkout):
    make(checkout)
    log(checkout)
    after = (checkout / ".venv" / ".complete").stat().st_mtime + 10
    os.utime(checkout / "requirements.txt", (after, after))
    assert make(checkout).returncode == 0
    assert log(checkout) == ["-m venv .venv", "pip", "pip"]


def test_environment_of_a_moved_checkout_is_made_anew(checkout):
    make(checkout)
    log(checkout)
    moved = checkout.rename(checkout.with_name("moved"))
    assert make(moved).returncode == 0
    assert log(moved) == ["-m venv --clear .venv", "pip", "pip"]


def test_too_old_a_python_is_named_with_the_remedy(checkout):
    (checkout / "old").touch()
    result = make(checkout)
    assert result.returncode != 0
    assert "needs Python 3.11 or newer; ./python is Python 3.9.6" in result.stdout
    assert "make environment PYTHON=" in result.stdout
    assert not (checkout / ".venv").exists()


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE))


def test_help_lists_every_target_and_is_the_default():
    listed = run("make", "-s", env={**os.environ, "MAKEFLAGS": ""}).stdout
    assert {line.split()[0] for line in listed.splitlines() if line.startswith("  ")} == targets()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_documented_make_targets_exist(path):
    code = re.findall(r"```[^\n]*\n(.*?)```", path.read_text(), flags=re.DOTALL)
    code += re.findall(r"`([^`\n]+)`", path.read_text())
    named = {name for text in code for name in re.findall(r"^\s*make ([a-z]+)", text, flags=re.MULTILINE)}
    assert named <= targets()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_documented_commands_exist(path):
    program = typer.main.get_command(app)
    found = re.findall(r"-m companion ([^`\n#]+)", path.read_text())
    assert found or path.name not in ("README.md", "reproduce.md", "data.md")
    for line in found:
        name, *words = line.split()
        if name == "--help":
            continue
        command = program.commands[name]  # type: ignore[attr-defined]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= options, line
        if name == "run" and words and not words[0].startswith(("<", "NAME")):
            # A document may have its readers write an experiment of their own.
            assert words[0] in EXPERIMENTS or f'"{words[0]}"' in path.read_text(), line


def test_documented_files_exist():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_the_picture_of_the_readme_is_the_one_in_the_notebook(tmp_path):
    copy = tmp_path / "picture.png"
    python("scripts/notebooks.py", "picture", "notebooks/sine.ipynb", "fig-sine-curves", copy)
    same = copy.read_bytes() == (ROOT / "book" / "_static" / "figure-1.png").read_bytes()
    assert same, "make notebooks"  # pytest would look for what differs in the bytes for half an hour


def pins(path: Path) -> set[str]:
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return {line for line in lines if "==" in line}


def test_the_benchmarks_run_what_the_book_runs():
    """Versions that both files name are the same, for every version of Python."""
    book, benchmarks = (pins(ROOT / name) for name in ("requirements.txt", "benchmarks/requirements.txt"))
    shared = {line.split("==")[0] for line in book} & {line.split("==")[0] for line in benchmarks}
    assert {"torch", "numpy", "pandas"} <= shared
    for name in shared:
        of = [{line for line in lines if line.startswith(f"{name}==")} for lines in (book, benchmarks)]
        assert of[0] == of[1], name


def test_requirements_pin_everything_and_name_no_index():
    text = (ROOT / "requirements.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.match(r"[a-z0-9-]+==\S+", line) for line in lines)
    pinned = {line.split("==")[0] for line in lines}
    direct = re.findall(r"^([a-z0-9-]+)", (ROOT / "requirements.in").read_text(), flags=re.MULTILINE)
    assert set(direct) <= pinned
    assert not [name for name in pinned if name.startswith(("nvidia", "cuda", "triton"))]
    for name in ("requirements.in", "requirements.txt", "Makefile", "pyproject.toml"):
        assert not re.search(r"index-url|find-links|trusted-host", (ROOT / name).read_text())


def test_citation_file_names_the_companion_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "version", "date-released"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["version"] == metalib.__version__
    assert citation["license"] == "MIT"
    for author in citation["authors"]:
        assert "name" in author or {"family-names", "given-names"} <= set(author)
    (paper,) = citation["references"]
    assert paper["title"] == "On First-Order Meta-Learning Algorithms"
    assert [author["family-names"] for author in paper["authors"]] == ["Nichol", "Achiam", "Schulman"]
    assert {"type", "year"} <= set(paper)


def test_tests_of_a_group_share_a_process_so_that_the_book_is_built_once(tmp_path):
    """pytest-xdist silently takes no notice of groups where it and pytest do not fit together."""
    assert "--dist loadgroup" in MAKEFILE
    for name in "ab":
        (tmp_path / f"test_{name}.py").write_text(
            "import os, pathlib, pytest\n"
            'pytestmark = pytest.mark.xdist_group("book")\n'
            '@pytest.mark.parametrize("number", range(2))\n'
            "def test_one(number):\n"
            f'    pathlib.Path(f"{name}{{number}}").write_text(str(os.getpid()))\n'
        )
    tested = python("-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout
    assert len({(tmp_path / name).read_text() for name in ("a0", "a1", "b0", "b1")}) == 1
