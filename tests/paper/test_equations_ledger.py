"""Every numbered equation of the paper, 1 to 47, is held by tests that fail when it is computed wrongly.

Which tests hold which equation stands on one page of the book, `book/notation.md`, and nowhere else.
"""

import ast
import re
import shutil
from pathlib import Path

import pytest

from tests.book.sources import ROOT, python

PAGE = (ROOT / "book" / "notation.md").read_text()
DISTANCE = "companion/manifolds/distance.py"
COPIED = ("benchmarks", "companion", "metalib", "scripts", "tests")
MUTATIONS = {
    (1, 2): ("inner.py", "        phi = step.phi", "        pass"),
    (3, 4): ("meta_gradients.py", "v), -trajectory.alpha)", "v), trajectory.alpha)"),
    (5,): ("training/outer.py", "(state.phi, direction, -epsilon)", "(state.phi, direction, epsilon)"),
    (6, 7): ("meta_gradients.py", "return (1.0,) * k", "return (1.0,) * (k - 1) + (0.0,)"),
    (8,): ("tasks/sine.py", "INTERVAL = (-5.0, 5.0)", "INTERVAL = (-4.0, 4.0)"),
    (9, 10, 11, 12): ("optimizers.py", "return g, state", "return {n: 2 * v for n, v in g.items()}, state"),
    (13, 14, 15, 16): ("theory/taylor.py", "hvp(loss, phi, travelled), c)", "hvp(loss, phi, travelled), -c)"),
    (17, 18, 19, 20, 21): ("meta_gradients.py", "in reversed(earlier):", "in earlier:"),
    (22, 23, 24): ("meta_gradients.py", "v), -trajectory.alpha)", "v), -0.5 * trajectory.alpha)"),
    (25, 26, 27): ("theory/taylor.py", "total([last.first, *through_updates])", "last.first"),
    (28,): ("theory/expectations.py", "average_run(initial_", "_sum(initial_"),
    (29, 30, 31, 32): ("theory/taylor.py", "strict=True)), 0.5)", "strict=True)), 1.0)"),
    (33, 34, 35): ("theory/taylor.py", "-2.0 * (k - 1) * alpha", "-1.0 * (k - 1) * alpha"),
    (36, 38, 40): ("theory/taylor.py", "travelled = add(travelled, g)", "travelled = g"),
    (37, 39, 41): ("theory/taylor.py", "in enumerate(weights))", "in enumerate(weights, 1))"),
    (42,): (DISTANCE, "in manifolds]).mean(0)", "in manifolds]).sum(0)"),
    (43, 44): (DISTANCE, "return phi - manifold.project(phi)", "return manifold.project(phi)"),
    (45, 46, 47): (DISTANCE, "(path[-1]), epsilon))", "(path[-1]), 1.0 - epsilon))"),
}  # fmt: skip
"""For every row of the page a file, by default of metalib, what stands there, and what would be wrong."""


def rows() -> dict[tuple[int, ...], list[str]]:
    """The equations of every row of the table, with the tests it names."""
    found = {}
    for row in re.findall(r"^\| \[\d.*$", PAGE.split("## Equations")[1], flags=re.MULTILINE):
        first, last = row.split("|")[1], row.split("|")[3]
        numbers = {int(number) for number in re.findall(r"#eq-(\d+)", first)}
        for low, high in re.findall(r"#eq-(\d+)\)–\[\d+\]\(#eq-(\d+)", first):
            numbers |= set(range(int(low), int(high) + 1))
        found[tuple(sorted(numbers))] = re.findall(r"`(test_\w+)`", last)
    return found


ROWS = rows()
EACH = pytest.mark.parametrize("row", ROWS, ids=lambda row: "eq-" + "-".join(map(str, row)))


def asserting_tests() -> dict[str, Path]:
    """The tests in tests/paper that assert something, with their files."""
    found = {}
    for path in (ROOT / "tests" / "paper").glob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            asserts = any(
                isinstance(inner, ast.Assert)
                or (isinstance(inner, ast.Call) and "assert_close" in ast.unparse(inner.func))
                for inner in ast.walk(node)
            )
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and asserts:
                found[node.name] = path.relative_to(ROOT)
    return found


WHERE = asserting_tests()


def test_the_page_has_every_equation_in_one_row():
    numbers = [number for row in ROWS for number in row]
    assert sorted(numbers) == list(range(1, 48))
    assert set(MUTATIONS) == set(ROWS)


@EACH
def test_the_tests_of_a_row_exist_and_assert_something(row):
    assert ROWS[row]
    assert set(ROWS[row]) <= set(WHERE)


@EACH
def test_the_tests_of_a_row_fail_when_its_equation_is_wrong(row, tmp_path):
    file, right, wrong = MUTATIONS[row]
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / (file if file.startswith("companion/") else f"metalib/{file}")
    source = path.read_text()
    assert source.count(right) == 1, f"{file} no longer holds {right!r} once: say what else would be wrong"
    path.write_text(source.replace(right, wrong))
    named = [f"{WHERE[test]}::{test}" for test in ROWS[row]]
    flags = ("-q", "-rf", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=--import-mode=importlib")
    result = python("-m", "pytest", *flags, *named, cwd=tmp_path)
    assert result.returncode == 1, result.stdout
    failed = set(re.findall(r"^FAILED .*?::(test_\w+)", result.stdout, flags=re.MULTILINE))
    assert failed == set(ROWS[row]), "each of them, and not only one"
    assert "SyntaxError" not in result.stdout
    assert "NameError" not in result.stdout
