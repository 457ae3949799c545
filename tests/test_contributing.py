"""The examples of CONTRIBUTING.md work, and touch the files that they list."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
COPIED = ("companion", "metalib", "tests", "pyproject.toml", "README.md", "LICENSE")
TRAINS = """
from metalib.tasks.{module} import {family}
from metalib.training import TrainingConfig, train
last = train({family}(), [TrainingConfig({settings})]).history.iloc[-1]
assert last.loss_after < last.loss_before, last
"""
RUNS = """
from pathlib import Path
from companion.catalogue import find
from companion.running import runner
tables = runner.run(find("many-tasks"), "smoke", results=Path("runs")).tables
assert set(tables["adaptation"].tasks_per_step) == {1, 10}
"""
PROOFS = {
    "A method": (
        TRAINS.format(module="sine", family="Sine", settings='"late", iterations=600'),
        "tests/metalib/test_methods.py",
    ),
    "An optimizer": (
        TRAINS.format(
            module="sine", family="Sine", settings='iterations=600, alpha=0.01, inner="momentum", beta1=0.5'
        ),
        "tests/metalib/test_optimizers.py",
    ),
    "A family of tasks": (
        TRAINS.format(module="lines", family="Lines", settings="iterations=600, alpha=0.1"),
        "tests/test_import_order.py",
    ),
    "An experiment": (RUNS, "tests/test_import_order.py"),
}
"""For every example what shows that it works, and a file of tests that it must leave green."""


def section(title: str) -> str:
    """The text of an example."""
    return re.split(r"^##+ ", TEXT.split(f"### {title}\n")[1], flags=re.MULTILINE)[0]


def listed(title: str) -> set[str]:
    """The files that an example says it touches."""
    (sentence,) = re.findall(r"^Files: (.*?)\n\n", section(title), flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([^`]+)`", sentence))


def blocks(title: str, language: str) -> list[str]:
    """The code blocks of an example in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", section(title), flags=re.MULTILINE | re.DOTALL)


def with_counts(patch: str) -> str:
    """A patch whose hunks say how long they are, so that examples may be edited by hand."""

    def counted(match: re.Match[str]) -> str:
        lines = match[2].splitlines()
        old, new = (sum(not line.startswith(sign) for line in lines) for sign in "+-")
        return f"@@ -{match[1]},{old} +{match[1]},{new} @@\n{match[2]}"

    return re.sub(r"^@@ -(\d+),.*@@\n((?:[ +-](?!--|\+\+).*\n|\n)+)", counted, patch, flags=re.MULTILINE)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository under version control."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    return folder


def git(folder: Path, *arguments: str, given: str = "") -> str:
    """Run git in a folder and return what it prints."""
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(folder: Path, *arguments: str) -> None:
    """Run the interpreter of the tests in a folder; it must succeed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("title", PROOFS)
def test_an_example_touches_the_files_that_it_lists_and_works(title, copy):
    for block in blocks(title, "python"):
        path = copy / block.partition("\n")[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.partition("\n")[2])
    for patch in blocks(title, "diff"):
        git(copy, "apply", "--whitespace=nowarn", "-", given=with_counts(patch))
    changed = git(copy, "diff", "--name-only") + git(copy, "ls-files", "--others", "--exclude-standard")
    assert set(changed.split()) == listed(title)
    proof, tests = PROOFS[title]
    python(copy, "-c", proof)
    flags = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=--import-mode=importlib")
    python(copy, "-m", "pytest", *flags, tests)


def test_every_example_is_tried():
    text = TEXT.split("## What to touch to add a thing")[1].split("\n## ")[0]
    assert re.findall(r"^### (.*)$", text, flags=re.MULTILINE) == list(PROOFS)
