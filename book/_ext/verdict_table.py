"""Sphinx extension: the verdicts of a page in a small table at its top, linked to the table that closes it.

The directive {verdicts} takes no arguments: which claims a page tests stands in book/claims.yml, and what
came of them in the page itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from claims_page import OfClaims, badge
from docutils import nodes
from docutils.statemachine import StringList
from paper_claims import HEAD, LIST, Entry, entries, ledger

from companion.verdicts import FAILS, OPEN, PARTLY
from metalib.errors import InputError


def table(claims: list[Entry]) -> str:
    """Return the verdicts on the claims of a page as Markdown."""
    lines = ["| the paper says | verdict | decided by |", "|:--|:--|:--|"]
    for claim in claims:
        proof = (
            f"{{ref}}`numbers <row-{claim.name}>`" if claim.row else f"{{ref}}`tests <claim-{claim.name}>`"
        )
        if claim.figure:
            proof = f"{{ref}}`figure <{claim.figure}>`, {proof}"
        lines.append(f"| {claim.short} | {badge(claim.verdict)} | {proof} |")
    return "\n".join(lines)


class VerdictsDirective(OfClaims):
    """The verdicts of this page."""

    def made(self, claims: list[Entry], root: Path) -> list[nodes.Node]:
        """Return them as a table."""
        page = Path(self.env.doc2path(self.env.docname)).relative_to(root).as_posix()
        here = [claim for claim in claims if claim.page == page]
        if not here:
            raise self.error(f"{LIST} has no claim that {page} tests")
        return self.parsed(here)

    def parsed(self, claims: list[Entry]) -> list[nodes.Node]:
        """Return the verdicts on these claims as a table."""
        lines = StringList(table(claims).splitlines(), source=LIST)
        place = nodes.container(classes=["verdicts"])
        self.state.nested_parse(lines, 0, place)
        return [place]


class DifferencesDirective(VerdictsDirective):
    """The verdicts on all claims of the paper that do not simply hold."""

    def made(self, claims: list[Entry], root: Path) -> list[nodes.Node]:
        """Return them as a table, those first that do not hold."""
        order = (FAILS, PARTLY, OPEN)
        differ = [claim for claim in claims if claim.counted and claim.verdict in order]
        return self.parsed(sorted(differ, key=lambda claim: order.index(claim.verdict)))


def _ledgers(doctree: nodes.document) -> Iterator[list[nodes.row]]:
    """Yield the rows of every table of claims, paper, measured and verdict."""
    names = [cell.strip() for cell in HEAD.strip("|").split("|")]
    for found in doctree.findall(nodes.table):
        head, *rows = found.findall(nodes.row)
        if [cell.astext() for cell in head.children] == names:
            yield rows


def name_rows(app: Any, doctree: nodes.document) -> None:
    """Give every row of the closing table an anchor, and its verdict the color that it has elsewhere."""
    notebook = Path(app.env.doc2path(app.env.docname))
    rows = [row for found in _ledgers(doctree) for row in found]
    if not rows:
        return
    page = notebook.relative_to(app.srcdir).as_posix()
    try:
        claims = {claim.row: claim for claim in entries(Path(app.srcdir)) if claim.page == page}
    except InputError:
        return  # the page of claims says so
    for row, name in zip(rows, ledger(notebook), strict=True):
        label = f"row-{claims[name].name}".lower()  # as Sphinx looks labels up
        row["ids"].append(label)
        app.env.get_domain("std").note_hyperlink_target(label, app.env.docname, label, claims[name].short)
        for word in row[-1].findall(nodes.strong):
            word["classes"] += ["verdict", f"verdict-{word.astext().replace(' ', '-')}"]


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.add_directive("verdicts", VerdictsDirective)
    app.add_directive("verdicts-that-differ", DifferencesDirective)
    app.connect("doctree-read", name_rows)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
