"""Sphinx extension: the page of all claims, and the bar that counts their verdicts."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from paper_claims import LIST, NOT_RUN, VERDICTS, Entry, entries
from sphinx.util.docutils import SphinxDirective

from companion.verdicts import FAILS, HOLDS, OPEN, PARTLY
from metalib.errors import InputError

SHORT = {
    HOLDS: ("holds", "hold"),
    PARTLY: ("holds in part", "hold in part"),
    FAILS: ("does not hold", "do not hold"),
    OPEN: ("is not decided", "are not decided"),
    NOT_RUN: ("was not run", "were not run"),
}
"""What is said of one claim, and of several."""


def badge(verdict: str) -> str:
    """Return a verdict as Markdown with its color."""
    return f"[{verdict}]{{.verdict .verdict-{verdict.replace(' ', '-')}}}"


def download(path: str, text: str) -> str:
    """Return a link to a file that the book carries with it, as Markdown for a page of `book`."""
    return f"{{download}}`{text} <../{path}>`"


def evidence(claim: Entry, root: Path) -> str:
    """Return links to the tests and the data of a claim, as Markdown; empty if it has none."""
    parts = [f"- test {download(file, test)}" for test, file in claim.tests.items()]
    for result, amount in claim.data.items():
        folder = root / "results" / result
        tables = [path.name for path in sorted(folder.glob("*.csv")) if path.stem != "history"]
        links = ", ".join(download(f"results/{result}/{name}", name) for name in [*tables, "provenance.json"])
        parts.append(f"- data of {result.replace('/', ', budget ')} ({amount}): {links}")
    return "\n".join(parts)


def block(claim: Entry, root: Path) -> str:
    """Return one claim as Markdown, in a box with its anchor; tests and data are folded."""
    page = f" · [](../{claim.page})" if claim.page else ""
    figure = f" · {{ref}}`figure <{claim.figure}>`" if claim.figure else ""
    lines = [
        f"(claim-{claim.name})=",
        ":::{container} claim",
        f"{badge(claim.verdict)} [{claim.where}]{{.where}}{page}{figure}",
        "",
        f"**{claim.claim}**",
        "",
        f"{'Why not' if claim.verdict == NOT_RUN else 'Measured'}: {claim.measured}",
    ]
    proof = evidence(claim, root)
    if proof:
        summary = "Tests and data" if claim.data else "Tests"
        lines += ["", f"<details><summary>{summary}</summary>", "", proof, "", "</details>"]
    return "\n".join([*lines, ":::"])


def listing(claims: Sequence[Entry], root: Path) -> str:
    """Return all claims as Markdown, under the headings of their sections."""
    parts = []
    for section in dict.fromkeys(claim.section for claim in claims):
        parts += [f"## {section}", *(block(claim, root) for claim in claims if claim.section == section)]
    return "\n\n".join(parts)


def counts(claims: Sequence[Entry]) -> dict[str, int]:
    """Return how many counted claims have each verdict, verdicts of none left out."""
    found = Counter(claim.verdict for claim in claims if claim.counted)
    return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}


def sentence(found: dict[str, int]) -> str:
    """Return the counts in words.

    >>> sentence({"holds": 2, "not run": 1})
    'Of 3 claims, 2 hold and 1 was not run.'
    """
    words = [f"{n} {SHORT[verdict][n > 1]}" for verdict, n in found.items()]
    return f"Of {sum(found.values())} claims, {', '.join(words[:-1])} and {words[-1]}."


def bar(found: dict[str, int]) -> str:
    """Return the counts as a bar, in HTML."""
    parts = [
        f'<span class="verdict-{verdict.replace(" ", "-")}" style="flex-grow: {n}">{n}</span>'
        for verdict, n in found.items()
    ]
    label = escape(sentence(found), quote=True)
    return f'<div class="verdict-bar" role="img" aria-label="{label}">{"".join(parts)}</div>'


class OfClaims(SphinxDirective):
    """What is made of the claims; a claim that is wrong is a warning, which fails the build."""

    def made(self, claims: Sequence[Entry], root: Path) -> list[nodes.Node]:
        """Return what stands on the page."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Read the claims, and note that the page depends on them."""
        root = Path(self.env.srcdir)
        for path in (root / LIST, *(root / "notebooks").glob("*.ipynb")):
            self.env.note_dependency(str(path))
        try:
            claims = entries(root)
        except InputError as error:
            raise self.error(str(error)) from error
        return self.made(claims, root)


class ClaimsDirective(OfClaims):
    """All claims."""

    def made(self, claims: Sequence[Entry], root: Path) -> list[nodes.Node]:
        """Return them under their headings."""
        lines = StringList(listing(claims, root).splitlines(), source=LIST)
        place = nodes.section()
        place.document = self.state.document
        self.state.nested_parse(lines, 0, place, match_titles=True)
        return place.children


class SummaryDirective(OfClaims):
    """How many claims have each verdict."""

    def made(self, claims: Sequence[Entry], root: Path) -> list[nodes.Node]:
        """Return a bar and a sentence."""
        found = counts(claims)
        return [nodes.raw("", bar(found), format="html"), nodes.paragraph("", sentence(found))]


class EvidenceDirective(OfClaims):
    """What came of the claims that its argument names, for a page that speaks of them."""

    required_arguments = 1
    final_argument_whitespace = True

    def made(self, claims: Sequence[Entry], root: Path) -> list[nodes.Node]:
        """Return the verdict on each, what was measured, and where it is shown."""
        named = {claim.name: claim for claim in claims}
        unknown = [name for name in self.arguments[0].split() if name not in named]
        if unknown:
            raise self.error(f"{LIST} has no claim {unknown[0]}")
        lines = []
        for name in self.arguments[0].split():
            claim = named[name]
            figure = f"{{ref}}`figure <{claim.figure}>`, " if claim.figure else ""
            proof = f"{figure}{{ref}}`claim and data <claim-{name}>`, [](/{claim.page})"
            lines.append(f"- {badge(claim.verdict)} {claim.short}: {claim.measured}. See {proof}.")
        place = nodes.container(classes=["evidence"])
        self.state.nested_parse(StringList(lines, source=LIST), 0, place)
        return [place]


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.add_directive("claims", ClaimsDirective)
    app.add_directive("claims-summary", SummaryDirective)
    app.add_directive("claims-evidence", EvidenceDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
