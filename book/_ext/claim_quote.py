"""Sphinx extension: what was measured of a claim, on any page, in the words of the page of all claims."""

from pathlib import Path
from typing import Any

from claims_page import badge
from docutils import nodes
from docutils.statemachine import StringList
from paper_claims import Entry, entries
from sphinx.util.docutils import SphinxDirective

from metalib.errors import InputError, nearest


def said(claims: list[Entry], name: str) -> str:
    """Return what came of a claim, as Markdown that links to it.

    Raises:
        InputError: if there is no such claim.
    """
    found = {claim.name: claim for claim in claims}
    if name not in found:
        raise InputError(f"there is no claim {name!r} to quote{nearest(name, found)}")
    claim = found[name]
    return f"[{claim.where}](#claim-{name}), measured: {claim.measured} {badge(claim.verdict)}"


class ClaimDirective(SphinxDirective):
    """One claim by its name; a name that does not exist fails the build."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return what was measured as a paragraph of its own."""
        root = Path(self.env.srcdir)
        for path in (root / "book" / "claims.yml", *(root / "notebooks").glob("*.ipynb")):
            self.env.note_dependency(str(path))
        try:
            text = said(list(entries(root)), self.arguments[0])
        except InputError as error:
            raise self.error(str(error)) from error
        box = nodes.container(classes=["claim-quote"])
        self.state.nested_parse(StringList([text], source="claim"), 0, box)
        return [box]


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.add_directive("claim-quote", ClaimDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
