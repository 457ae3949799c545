"""The house is built from the ground up: a module imports only from those above it in the list."""

import ast
import re
from pathlib import Path

import metalib

ROOT = Path(metalib.__file__).parent


def listed() -> list[str]:
    return re.findall(r"^    (\w+) {2,}\S", metalib.__doc__ or "", flags=re.MULTILINE)


def rooms() -> dict[str, list[Path]]:
    """Every top-level module or package of metalib, with its files."""
    files: dict[str, list[Path]] = {}
    for path in sorted(ROOT.rglob("*.py")):
        files.setdefault(path.relative_to(ROOT).with_suffix("").parts[0], []).append(path)
    return {name: paths for name, paths in files.items() if name not in ("__init__", "__main__")}


def imported(path: Path) -> set[str]:
    """The rooms of metalib that a file imports from."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "metalib":
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("metalib.")}
    return names - {"__version__"}


def test_the_list_in_the_package_docstring_is_complete():
    assert sorted(listed()) == sorted(rooms())


def test_every_module_imports_only_from_modules_above_it():
    order = {name: place for place, name in enumerate(listed())}
    for name, paths in rooms().items():
        for path in paths:
            below = {other for other in imported(path) if order[other] > order[name]}
            assert not below, f"{path.relative_to(ROOT)} imports {below} from below itself"


def test_no_room_is_called_utils():
    assert not {"utils", "helpers", "common", "misc"} & {p.stem for paths in rooms().values() for p in paths}
