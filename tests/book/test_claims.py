"""The page of all claims: none is missing, and none stands there without its evidence."""

import json
import re
import shutil
from pathlib import Path

import claims_page
import paper_claims
import pytest
import yaml

from companion.verdicts import HOLDS, Claim, table
from metalib.errors import InputError
from tests.book.sources import NOTEBOOKS, ROOT, outputs, read

OF_THE_PAPER = {
    *("eq-3-4", "eq-5", "eq-6-7", "eq-13-16", "eq-17-21", "eq-22-40", "eq-29-32", "eq-33-41", "eq-42-44"),
    *("ratio", "small-alpha-k", "inner-product", "first-joint-then-fast", "plain-sgd"),
    *("fig-1", "fig-2", "fig-3", "fig-4a", "fig-4b", "fig-4c", "table-1", "table-2", "s1-memory", "s4-zero"),
    *("s6.1-transduction", "s6.1-similar", "s6.1-beta1", "s6.3-hyp", "s7-finetune", "app-A"),
}


@pytest.fixture(scope="module")
def listed() -> list[dict]:
    return yaml.safe_load((ROOT / paper_claims.LIST).read_text())


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A copy of all that the page is made of."""
    for name in ("notebooks", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (ROOT / "results").rglob("provenance.json"):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
    (tmp_path / "book").mkdir()
    shutil.copy(ROOT / paper_claims.LIST, tmp_path / "book")
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_every_claim_of_the_paper_is_listed(listed):
    names = {told["id"].partition("/")[0] for part in listed for told in part["claims"]}
    assert names >= OF_THE_PAPER


OWN_PREDICTIONS = {"scale"}
"""Notebooks beyond the paper: their verdicts are on predictions of this book, not of the paper."""


def test_every_row_that_a_notebook_prints_is_on_the_page_with_its_number_and_verdict():
    printed = [
        line
        for notebook in NOTEBOOKS
        if notebook.stem not in OWN_PREDICTIONS
        for _, output in outputs(read(notebook))
        for line in output.get("data", {}).get("text/markdown", "").splitlines()
        if re.search(r"\*\*[a-z ]+\*\* \|$", line)
    ]
    said = {(claim.measured, claim.verdict) for claim in paper_claims.entries(ROOT)}
    assert len(printed) >= 40
    for line in printed:
        assert any(f"| {measured} | **{verdict}** |" in line for measured, verdict in said), line


def test_the_page_shows_every_claim_with_verdict_page_tests_and_data():
    claims = paper_claims.entries(ROOT)
    assert len({claim.name for claim in claims}) == len(claims)
    page = claims_page.listing(claims, ROOT)
    for claim in claims:
        box = page.split(f"(claim-{claim.name})=\n")[1].split("\n:::\n")[0]
        assert f"[{claim.verdict}]" in box
        assert claim.measured in box
        assert (claim.verdict == paper_claims.NOT_RUN) == (not claim.tests) == (not claim.page)
        for name in [
            claim.page or "",
            claim.figure or "",
            *claim.tests,
            *claim.tests.values(),
            *claim.data.values(),
        ]:
            assert name in box


def test_claims_about_stored_runs_name_the_results():
    of_stored = [
        claim
        for claim in paper_claims.entries(ROOT)
        if claim.page and Path(claim.page).stem in ("sine", "fewshot", "inner_gradients", "overlap")
    ]
    assert of_stored
    assert [claim.name for claim in of_stored if not claim.data] == []


def test_claims_about_stored_runs_link_to_the_figure_that_decides():
    assert [claim.name for claim in paper_claims.entries(ROOT) if claim.data and not claim.figure] == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("row: [expansion, eq-13-16]", "row: [expansion, eq-13-17]", "rests on 'eq-13-17'"),
        ("row: [expansion, eq-13-16]", "not run: no", "leaves out 'eq-13-16' of expansion"),
        ("figure: fig-overlap-4b", "figure: fig-overlap-4d", "fig-overlap-4d, which no page draws"),
        ("data: [figure4b/laptop]", "data: [figure4b/desk]", "figure4b/desk, which is not stored"),
        ("test_plain_sgd_on_one_task_has", "test_plain_sgd_on_no_task_has", "which does not exist"),
        ("tests: [test_eq_13_to_16_every_inner_gradient]", "tests: []", "without a page or a test"),
        ("row: [fewshot, Table 1]", "says: Table 1", "table-1 has nothing"),
    ],
)
def test_a_claim_without_its_evidence_is_refused(elsewhere, old, new, message):
    change(elsewhere / paper_claims.LIST, old, new)
    with pytest.raises(InputError, match=message):
        paper_claims.entries(elsewhere)


def test_a_row_that_a_notebook_loses_or_gains_is_missed(elsewhere):
    path = elsewhere / "notebooks" / "manifolds.ipynb"
    change(path, "| one step or many |", "| one or many |")
    with pytest.raises(InputError, match=r"'one step or many', which manifolds\.ipynb does not have"):
        paper_claims.entries(elsewhere)
    change(path, "| one or many |", "| one step or many | a | b | **holds** |\\n| one or many |")
    with pytest.raises(InputError, match="leaves out 'one or many'"):
        paper_claims.entries(elsewhere)


def test_a_verdict_that_changes_in_a_notebook_changes_on_the_page(elsewhere):
    before = claims_page.counts(paper_claims.entries(elsewhere))
    path = elsewhere / "notebooks" / "expansion.ipynb"
    change(path, "order 1.99 to 2.00 in α | **holds** |", "order 1.50 | **does not hold** |")
    after = paper_claims.entries(elsewhere)
    assert next(c.measured for c in after if c.name == "eq-13-16").endswith("order 1.50")
    assert claims_page.counts(after)["does not hold"] == before["does not hold"] + 1


def test_the_table_of_a_page_is_read_as_it_was_written(tmp_path):
    rows = [Claim("a", "b, $x$", "c ± 1", HOLDS)]
    output = {"data": {"text/markdown": [line + "\n" for line in table(rows).splitlines()]}}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [{"outputs": [output]}]}))
    assert list(paper_claims.ledger(path).values()) == rows
    path.write_text(path.read_text().replace("holds", "maybe"))
    with pytest.raises(InputError, match="execute the notebook again"):
        paper_claims.ledger(path)


def test_the_summary_counts_what_the_paper_states():
    claims = paper_claims.entries(ROOT)
    found = claims_page.counts(claims)
    assert sum(found.values()) == sum(claim.counted for claim in claims) < len(claims)
    assert claims_page.sentence({"holds": 2, "not run": 1}) == "Of 3 claims, 2 hold and 1 was not run."
    assert f'aria-label="{claims_page.sentence(found)}"' in claims_page.bar(found)
