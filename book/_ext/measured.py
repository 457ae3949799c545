"""Sphinx extension: numbers in the text, read from what the notebooks printed.

{measured}`name` says what a cell of the same page told (`companion.prose.tell`), {measured}`sine:name` what
one of notebooks/sine.ipynb did. A number that nobody told fails the build.
"""

import ast
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxRole

from companion.prose import RECORD


@lru_cache(maxsize=32)
def _told(notebook: Path, changed: float) -> dict[str, str]:
    found = {}
    for cell in json.loads(notebook.read_text())["cells"]:
        for output in cell.get("outputs", []):
            record = output.get("data", {}).get(f"{RECORD}text/plain")
            if record:
                found[output["metadata"]["scrapbook"]["name"]] = str(ast.literal_eval("".join(record)))
    return found


def told(notebook: Path) -> dict[str, str]:
    """Return the numbers that the cells of an executed notebook hand to the text."""
    return _told(notebook, notebook.stat().st_mtime) if notebook.exists() else {}


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def typeset(number: str) -> str:
    """Return a number as it is printed in a book: one that a line never breaks, with a real minus sign.

    >>> typeset("-5.8 ± 4.0").replace("\u00a0", "_")
    '−5.8_±_4.0'
    >>> typeset("2e+11").replace("\u00a0", "_")
    '2_×_10¹¹'
    """
    number = re.sub(r"(?<![\w.])-(?=\d)", "−", number)
    number = re.sub(
        r"(?<=\d)e([+-]\d+)", lambda found: f" × 10{str(int(found[1])).translate(SUPERSCRIPTS)}", number
    )
    return re.sub(r" (?=[±×%])|(?<=[±×]) ", "\u00a0", number)


class Measured(SphinxRole):
    """A number, by its name."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return it as text, or an error if it is unknown."""
        page, _, name = self.text.rpartition(":")
        notebook = Path(self.env.srcdir, "notebooks", f"{page or Path(self.env.docname).name}.ipynb")
        self.env.note_dependency(str(notebook))
        if name not in told(notebook):
            known = ", ".join(told(notebook)) or "nothing"
            message = self.inliner.reporter.error(
                f"no cell of {notebook.name} tells {name!r}; it tells {known}", line=self.lineno
            )
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        return [nodes.inline("", typeset(told(notebook)[name]), classes=["measured"])], []


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.add_role("measured", Measured())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
