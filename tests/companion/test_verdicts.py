"""One rule decides every verdict, from intervals: each verdict at its edges, and no row without the rule."""

import ast
from math import nan
from pathlib import Path

import pytest

import companion
from companion.intervals import UNMEASURED, Interval, widened
from companion.verdicts import FAILS, HOLDS, OPEN, PARTLY, decide, each, every, jointly, most

LEDGERS = sorted(Path(companion.__file__).parent.glob("*/claims.py"))
RULES = {"decide", "each", "every", "jointly", "most"}


def between(low: float, high: float) -> Interval:
    """An interval by its ends."""
    return Interval((low + high) / 2, low, high)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 2.0, HOLDS),
        (-2.0, -0.1, FAILS),
        (-0.1, 2.0, OPEN),
        (0.0, 2.0, OPEN),  # an end that touches 0 does not exclude it
        (-2.0, 0.0, OPEN),
        (0.0, 0.0, OPEN),
        (nan, nan, OPEN),  # runs that diverged
    ],
)
def test_more_than_nothing_holds_only_where_the_interval_excludes_the_opposite(low, high, expected):
    assert decide(between(low, high), above=0) == expected
    mirrored = {HOLDS: FAILS, FAILS: HOLDS, OPEN: OPEN}[expected]
    assert decide(between(low, high), below=0) == mirrored


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.9, 0.9, HOLDS),
        (-1.0, 0.9, OPEN),
        (0.5, 1.5, OPEN),
        (-5.0, 5.0, OPEN),  # a wide interval around 0 is no evidence of likeness
        (0.9, 1.0, OPEN),
        (1.1, 3.0, FAILS),
        (-3.0, -1.1, FAILS),
        (0.4, 0.6, HOLDS),  # a clear difference inside the margin is alike all the same
    ],
)
def test_alike_needs_the_whole_interval_inside_the_margin(low, high, expected):
    assert decide(between(low, high), above=-1, below=1) == expected


def test_what_was_never_measured_decides_nothing():
    assert decide(UNMEASURED, above=0) == decide(UNMEASURED, above=-1, below=1) == OPEN
    assert every() == each([]) == OPEN


def test_what_is_exact_is_decided_by_its_value():
    assert decide(1e-13, below=1e-12) == HOLDS
    assert decide(1e-12, below=1e-12) == OPEN
    assert decide(1e-11, below=1e-12) == FAILS


def test_one_counter_example_refutes_a_universal_claim():
    good, bad, unclear = between(1, 2), between(-2, -1), between(-1, 1)
    assert each([good, good], above=0) == HOLDS
    assert each([good, unclear], above=0) == OPEN
    assert each([good, unclear, bad], above=0) == FAILS
    assert every(HOLDS, PARTLY) == OPEN


def test_only_separate_statements_hold_in_part():
    assert jointly(HOLDS, FAILS) == jointly(HOLDS, OPEN, FAILS) == PARTLY
    assert jointly(HOLDS, HOLDS) == HOLDS
    assert jointly(OPEN, FAILS) == FAILS
    assert jointly(HOLDS, OPEN) == OPEN


def test_more_than_half_decides_a_claim_of_most_and_no_case_decides_nothing():
    assert most(HOLDS, HOLDS, FAILS) == HOLDS
    assert most(HOLDS, FAILS) == most(FAILS, FAILS, OPEN) == FAILS
    assert most(HOLDS, OPEN, FAILS) == most() == OPEN


def test_an_error_that_all_seeds_share_widens_their_interval_on_both_sides():
    found = widened(Interval(1.0, 0.7, 1.3), 0.4 / 1.96)
    assert (found.mean, found.low, found.high) == pytest.approx((1.0, 0.5, 1.5))


def verdict_of(call: ast.Call) -> ast.expr:
    """What stands for the verdict in a call of `Claim`."""
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    return named.get("verdict") or call.args[3]


@pytest.mark.parametrize("path", LEDGERS, ids=lambda path: path.parent.name)
def test_every_row_of_every_ledger_gets_its_verdict_from_the_rule(path):
    tree = ast.parse(path.read_text())
    taken = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    (names,) = [{alias.name for alias in node.names} for node in taken if node.module == "companion.verdicts"]
    assert names <= {"Claim"} | RULES, "no verdict is written by hand"
    own = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for last in [node.body[-1]]
        if isinstance(last, ast.Return) and isinstance(last.value, ast.Call)
        if ast.unparse(last.value.func) in RULES
    }
    rows = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Claim"
    ]
    assert rows
    for row in rows:
        verdict = verdict_of(row)
        assert isinstance(verdict, ast.Call), ast.unparse(row)
        assert ast.unparse(verdict.func).split(".")[-1] in RULES | own, ast.unparse(row)
