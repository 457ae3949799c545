"""Links that open the notebooks elsewhere are right where there is an address, else there are none."""

import ast
import re
import tomllib
from importlib.metadata import packages_distributions

import launch
import yaml
from packaging.requirements import Requirement

from tests.book.sources import NOTEBOOKS, ROOT, code_cells, read

BINDER = ROOT / ".binder"


def test_every_notebook_can_be_opened_once_the_repository_has_an_address():
    for path in NOTEBOOKS:
        found = launch.links("owner/name", f"notebooks/{path.name}")
        assert set(found) == {"Binder", "Colab"}
        assert all(path.name in address and "owner/name" in address for address in found.values())


def test_without_an_address_there_are_no_buttons():
    assert launch.buttons("", "notebooks/sine.ipynb") == ""
    assert launch.PLACEHOLDER in launch.first_step("")


def test_the_configuration_names_the_address_in_one_place():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert re.fullmatch(r"|[\w.-]+/[\w.-]+", config["sphinx"]["config"]["launch_repository"])


def test_binder_installs_everything_that_the_notebooks_import():
    lines = [line for line in (BINDER / "requirements.txt").read_text().splitlines() if line[:1] != "#"]
    assert lines == ["-c ../requirements.txt", ".[companion]"]
    assert (BINDER / ".." / "requirements.txt").is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["companion"]]
    installed = {Requirement(line).name for line in wanted} | {"metalib", "ipython"}
    providers = packages_distributions()
    for path in NOTEBOOKS:
        for cell in code_cells(read(path)):
            for node in ast.walk(ast.parse(cell.source)):
                named = [node.module] if isinstance(node, ast.ImportFrom) else []
                named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                for name in named:
                    owners = {owner.lower() for owner in providers.get(name.split(".")[0], ["stdlib"])}
                    assert owners & (installed | {"stdlib"}), f"{path.name} imports {name}"
