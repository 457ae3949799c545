"""Names that the pages mention exist: functions, fields, tests, equations."""

import ast
import importlib
import re
from typing import Any

import pytest

from tests.book.sources import ROOT

PAGES = sorted((ROOT / "book").glob("*.md"))
EACH_PAGE = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
LISTED = (ROOT / "book" / "notation.md").read_text()


def code(text: str) -> list[str]:
    """Return what stands in single backquotes, roles such as {math} left out."""
    return re.findall(r"(?<![`}])`([^`\n]+)`(?!`)", text)


def resolve(name: str) -> Any:
    """Return the module, function, class or field of that dotted name, by default of metalib."""
    parts = name.split(".")
    if parts[0] not in ("metalib", "companion"):
        parts = ["metalib", *parts]
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        break
    for part in parts[cut:]:
        found = getattr(found, part, None) or found.__annotations__[part]
    return found


@EACH_PAGE
def test_every_name_of_the_library_on_a_page_exists(path):
    dotted = re.compile(r"[a-z_]+(\.[A-Za-z_]+)+")
    files = re.compile(r".*\.(md|py|yml|json|txt|ipynb|html|cff|in)")
    names = [n for n in code(path.read_text()) if dotted.fullmatch(n) and not files.fullmatch(n)]
    for name in names:
        assert resolve(name) is not None, name
    assert names or path.stem != "notation"


@pytest.fixture(scope="module")
def tests() -> set[str]:
    """Return the names of all tests."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")]
    functions = [node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {name for name in functions if name.startswith("test_")}


@EACH_PAGE
def test_every_test_named_on_a_page_exists(path, tests):
    assert set(re.findall(r"\btest_\w+", path.read_text())) <= tests


def equations() -> set[int]:
    """Return the equations of the second table of the notation page."""
    listed: set[int] = set()
    for row in re.findall(r"^\| \[\d.*$", LISTED.split("## Equations")[1], flags=re.MULTILINE):
        first = row.split("|")[1]
        listed |= {int(number) for number in re.findall(r"#eq-(\d+)", first)}
        for low, high in re.findall(r"#eq-(\d+)\)–\[\d+\]\(#eq-(\d+)", first):
            listed |= set(range(int(low), int(high) + 1))
    return listed


def test_the_notation_page_lists_every_equation_of_the_paper():
    assert equations() == set(range(1, 48))


def test_an_unknown_name_is_seen():
    with pytest.raises((KeyError, AttributeError)):
        resolve("taylor.expand_everything")
