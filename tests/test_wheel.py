"""The wheel of metalib works in an environment that holds nothing but what metalib requires."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pandas as pd
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SITE = Path(sysconfig.get_paths()["purelib"])
TRAIN_ON_GLYPHS = """
from metalib.data.glyphs import glyphs
from metalib.tasks.fewshot import FewShot
from metalib.training import TrainingConfig, train
config = TrainingConfig("reptile", alpha=0.001, epsilon=1.0, iterations=3, tasks=2, inner="adam")
print(len(train(FewShot(glyphs(), ways=5, shots=10, batch=10), [config]).history))
"""
pytestmark = pytest.mark.xdist_group("wheel")
NOT_REQUIRED = ("typer", "joblib", "dask", "distributed", "matplotlib", "scipy", "tqdm", "pooch", "PIL")


def required(name: str, extra: str = "") -> set[str]:
    """Return the distributions that one requires, with an extra if named, and what those require in turn."""
    found: set[str] = set()
    asked = [name]
    while asked:
        one = asked.pop()
        for text in distribution(one).requires or ():
            requirement = Requirement(text)
            chosen = {"extra": extra if one == name else ""}
            wanted = requirement.marker is None or requirement.marker.evaluate(chosen)
            if wanted and requirement.name not in found:
                found.add(requirement.name)
                asked.append(requirement.name)
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of what it is made from: a build leaves a folder beside it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("metalib", "companion"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", folder, folder / "source"], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def interpreter(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment with the wheel and, by links, what it requires."""
    return environment(wheel, tmp_path_factory.mktemp("environment"), required("metalib"))


@pytest.fixture(scope="module")
def companion(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of one that has, besides, what the companion needs."""
    return environment(wheel, tmp_path_factory.mktemp("companion"), required("metalib", "companion"))


def environment(wheel: Path, folder: Path, distributions: set[str]) -> Path:
    """Make an environment with the wheel and links to some distributions."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    query = [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    site = Path(subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip())
    with zipfile.ZipFile(wheel) as file:
        file.extractall(site)
    for name in distributions:
        tops = {Path(str(path)).parts[0] for path in distribution(name).files or ()}
        for top in tops - {"..", "__pycache__"}:
            if (SITE / top).exists() and not (site / top).exists():
                (site / top).symlink_to(SITE / top)
    return python


def run(interpreter: Path, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code outside the checkout, without this environment's variables."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [interpreter, "-I", "-c", code]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False)


def test_metalib_trains_on_glyphs_outside_the_checkout_with_its_requirements_alone(interpreter, tmp_path):
    missing = f"import importlib.util as u; print([n for n in {NOT_REQUIRED} if u.find_spec(n)])"
    assert run(interpreter, missing, tmp_path).stdout.strip() == "[]"
    trained = run(interpreter, TRAIN_ON_GLYPHS, tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.strip() == "1"
    assert not list(tmp_path.iterdir())


COMMAND = """
import sys
sys.argv[1:] = {arguments!r}.split()
from companion.__main__ import main
main()
"""


def test_an_experiment_runs_from_the_wheel_in_an_environment_of_its_own(companion, tmp_path):
    arguments = "run sine-meta-batch --budget smoke --seeds 0 --jobs 1 --results r"
    done = run(companion, COMMAND.format(arguments=arguments), tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "r" / "sine-meta-batch" / "smoke" / "history.csv")) > 0
    again = run(companion, COMMAND.format(arguments="status --results r"), tmp_path)
    assert "complete, seeds [0]" in again.stdout


@pytest.mark.parametrize(
    ("which", "arguments", "missing", "extra"),
    [
        ("interpreter", "list", "joblib", "companion"),
        ("companion", "run sine-meta-batch --budget smoke --scheduler tcp://127.0.0.1:1", "Dask", "cluster"),
    ],
)
def test_a_missing_part_is_one_line_with_the_command_that_installs_it(
    request, tmp_path, which, arguments, missing, extra
):
    done = run(request.getfixturevalue(which), COMMAND.format(arguments=arguments), tmp_path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert re.search(
        rf"^companion: .*{missing}.* not installed; pip install 'metalib\[.*{extra}\]'$", line
    ), line


def test_metalib_comes_from_the_wheel(interpreter, tmp_path):
    place = run(interpreter, "import metalib; print(metalib.__file__)", tmp_path).stdout.strip()
    assert Path(place).is_relative_to(interpreter.parents[1])


def test_the_wheel_declares_what_the_companion_needs_as_an_extra(wheel):
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith("METADATA"))
        metadata = file.read(name).decode()
    extras = {
        "companion": ("typer", "joblib", "matplotlib"),
        "data": ("pooch", "pillow"),
        "cluster": ("dask",),
    }
    for extra, packages in extras.items():
        for package in packages:
            line = rf'^Requires-Dist: {package}; extra == "{extra}"$'
            assert re.search(line, metadata, flags=re.MULTILINE)


def test_the_command_line_lists_experiments_from_any_folder(tmp_path):
    listed = subprocess.run(
        [sys.executable, "-m", "companion", "list"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    script = subprocess.run(
        [Path(sys.executable).with_name("companion"), "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "figure3" in listed.stdout
    assert script.stdout == listed.stdout
