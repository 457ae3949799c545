"""Every claim of the paper with its verdict, read from where it was computed.

`book/claims.yml` says which claims there are, `notebooks/*.ipynb` what came of them (in the table that closes
each page, which the tests compute again), and `results/` with which budget.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from companion.verdicts import FAILS, HOLDS, OPEN, PARTLY, Claim
from metalib.errors import InputError

NOT_RUN = "not run"
VERDICTS = (HOLDS, PARTLY, FAILS, OPEN, NOT_RUN)
HEAD = "| claim | paper | measured | verdict |"
FATES = ("row", "tested", NOT_RUN)
LIST = "book/claims.yml"
AMOUNTS = {
    "iterations": "outer iterations",
    "iterations_20_way": "outer iterations for 20-way",
    "iterations_maml": "outer iterations for MAML and FOMAML",
    "evaluation_tasks_20_way": "evaluation tasks for 20-way",
    "population": "candidates each",
}
"""What the numbers of a budget count, where their names do not say it."""


@dataclass(frozen=True)
class Entry:
    """One claim on the page.

    Attributes:
        name: what others link to, without "claim-".
        section: the heading that it stands under.
        where: its place in the paper.
        claim: what the paper says, in our words.
        short: the same in a few words.
        measured: what came of it, or why there is nothing.
        verdict: one of `VERDICTS`.
        page: the page that shows it, with suffix; none for a claim that was not run.
        row: its row in the table that closes that page; none if it has none.
        figure: the figure that decides it; none where no figure does.
        tests: the tests that hold the verdict, with their files.
        data: the folders of stored results, with their budgets in words.
        counted: whether the paper states it, so that the summary counts it.
    """

    name: str
    section: str
    where: str
    claim: str
    short: str
    measured: str
    verdict: str
    page: str | None
    row: str | None
    figure: str | None
    tests: dict[str, str]
    data: dict[str, str]
    counted: bool


def ledger(notebook: Path) -> dict[str, Claim]:
    """Return the table that closes a notebook, by the names of its claims; empty if there is none.

    Raises:
        InputError: if a row does not have four cells and one of the verdicts.
    """
    rows: dict[str, Claim] = {}
    for cell in json.loads(notebook.read_text())["cells"]:
        for output in cell.get("outputs", []):
            lines = "".join(output.get("data", {}).get("text/markdown", "")).splitlines()
            if lines[:1] != [HEAD]:
                continue
            for line in lines[2:]:
                cells = line.strip("| ").split(" | ")
                if len(cells) != 4 or cells[3].strip("*") not in VERDICTS:
                    raise InputError(
                        f"{notebook.name}: expected claim, paper, measured and verdict, found {line!r}; "
                        "execute the notebook again"
                    )
                rows[cells[0]] = Claim(cells[0], cells[1], cells[2], cells[3].strip("*"))
    return rows


def ledgers(root: Path) -> dict[tuple[str, str], Claim]:
    """Return the rows of all notebooks, by page and name."""
    return {
        (path.stem, name): row
        for path in sorted((root / "notebooks").glob("*.ipynb"))
        for name, row in ledger(path).items()
    }


def tests(root: Path) -> dict[str, str]:
    """Return the file of every test."""
    return {
        name: path.relative_to(root).as_posix()
        for path in sorted((root / "tests").rglob("test_*.py"))
        for name in re.findall(r"^def (test_\w+)", path.read_text(), flags=re.MULTILINE)
    }


def budget(root: Path, result: str) -> str:
    """Return in words how much work a stored result is.

    Raises:
        InputError: if there is no such result.
    """
    provenance = root / "results" / result / "provenance.json"
    if not provenance.exists():
        raise InputError(f"{LIST} names the result {result}, which is not stored; name one of results/")
    config = json.loads(provenance.read_text())["config"]
    # What trains nothing has a budget of one iteration.
    amounts = [(name, n) for name, n in config["budget"].items() if isinstance(n, int) and n > 1]
    words = [f"{n:,} {AMOUNTS.get(name, name.replace('_', ' '))}" for name, n in amounts]
    seeds = len(config["seeds"])
    return ", ".join([*words, f"{seeds} seed{'s' if seeds > 1 else ''}"])


def figures(root: Path) -> dict[str, str]:
    """Return the notebook of every figure, by the name that others link to."""
    return {
        cell["metadata"]["mystnb"]["figure"]["name"]: path.stem
        for path in sorted((root / "notebooks").glob("*.ipynb"))
        for cell in json.loads(path.read_text())["cells"]
        if "figure" in cell["metadata"].get("mystnb", {})
    }


def entry(
    part: dict[str, Any],
    told: dict[str, Any],
    root: Path,
    rows: dict[tuple[str, str], Claim],
    files: dict[str, str],
    drawn: Collection[str],
) -> Entry:
    """Return one claim of a part of the list with what came of it.

    Raises:
        InputError: if it has no fate or several, names a row, a test, a figure or a result that does not
            exist, or has a verdict without a page or a test.
    """
    name = told["id"]
    fate = [key for key in FATES if key in told]
    if len(fate) != 1:
        raise InputError(f"{LIST}: {name} has {fate or 'nothing'}; give it one of {', '.join(FATES)}")
    unknown = [test for test in told.get("tests", []) if test not in files]
    if unknown:
        raise InputError(f"{LIST}: {name} names the test {unknown[0]}, which does not exist; name another")
    if "figure" in told and told["figure"] not in drawn:
        raise InputError(
            f"{LIST}: {name} names the figure {told['figure']}, which no page draws; name another"
        )
    page, measured, verdict = told.get("page"), told.get("tested"), HOLDS
    if "row" in told:
        key = (told["row"][0], told["row"][1])
        if key not in rows:
            raise InputError(f"{LIST}: {name} rests on {key[1]!r}, which {key[0]}.ipynb does not have")
        page, measured, verdict = f"notebooks/{key[0]}.ipynb", rows[key].measured, rows[key].verdict
    elif NOT_RUN in told:
        measured, verdict = told[NOT_RUN], NOT_RUN
    if verdict != NOT_RUN and not (told.get("tests") and page):
        raise InputError(f"{LIST}: {name} has a verdict without a page or a test; name them")
    return Entry(
        name=re.sub(r"[/.]", "-", name),
        section=part["section"],
        where=told["where"],
        claim=told["claim"],
        short=told["short"],
        measured=str(measured),
        verdict=verdict,
        page=page,
        row=told["row"][1] if "row" in told else None,
        figure=told.get("figure"),
        tests={test: files[test] for test in told.get("tests", [])},
        data={result: budget(root, result) for result in told.get("data", [])},
        counted=part.get("counted", True),
    )


def entries(root: Path) -> list[Entry]:
    """Return all claims of the paper, in its order.

    Raises:
        InputError: as `entry`, or if a row of a notebook stands under no claim.
    """
    listed, rows, files = yaml.safe_load((root / LIST).read_text()), ledgers(root), tests(root)
    pairs = [(part, told) for part in listed for told in part["claims"]]
    drawn = figures(root)
    found = [entry(part, told, root, rows, files, drawn) for part, told in pairs]
    left = set(rows) - {tuple(told["row"]) for _, told in pairs if "row" in told}
    if left:
        page, name = min(left)
        raise InputError(f"{LIST} leaves out {name!r} of {page}.ipynb; add a claim that rests on it")
    return found
