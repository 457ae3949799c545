"""Sphinx extension: how long a page takes, under its title, and sections that are folded.

A section whose title begins with "Deeper:" opens when its title is clicked, when a link leads into it, and in
print. What stands outside of these is the main path of a page.
"""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from docutils import nodes

DEEPER = "Deeper:"
LOOKED_UP = ("book/claims", "book/bibliography", "book/gallery", "book/glossary", "book/reference*")
"""Pages that nobody reads from top to bottom; they do not say how long that takes."""
PER_MINUTE = 200
"""Words that a reader of mathematics reads in a minute."""
SILENT = (nodes.literal_block, nodes.math, nodes.math_block, nodes.raw, nodes.comment, nodes.system_message)
WORD = re.compile(r"[^\W_]+(?:[-’'.,][^\W_]+)*")


def looked_up(page: str) -> bool:
    """Tell whether a page, as seen from the root without suffix, is one to look things up in."""
    return any(fnmatch(page, pattern) for pattern in LOOKED_UP)


def folded(section: nodes.Node) -> bool:
    """Tell whether a section is one that opens on a click."""
    return isinstance(section, nodes.section) and section[0].astext().startswith(DEEPER)


def _texts(node: nodes.Node, deeper: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(node, nodes.Text):
        yield node.astext(), deeper
    elif not isinstance(node, SILENT):
        for child in node.children:
            yield from _texts(child, deeper or folded(node))


def words(document: nodes.Node) -> tuple[int, int]:
    """Return the words of a page's main path and of its folded sections; code and formulas do not count."""
    main, deeper = 0, 0
    for text, inside in _texts(document, False):
        count = len(WORD.findall(text))
        main, deeper = main + count * (not inside), deeper + count * inside
    return main, deeper


def minutes(count: int) -> str:
    """Return the time to read so many words.

    >>> minutes(150), minutes(1100)
    ('1 minute', '6 minutes')
    """
    rounded = max(1, -(-count // PER_MINUTE))
    return f"{rounded} minute{'s' * (rounded > 1)}"


def running_time(notebook: Path) -> str | None:
    """Return how long a notebook computes, as scripts/notebooks.py noted it; None for other pages."""
    about = json.loads(notebook.read_text())["metadata"] if notebook.exists() else {}
    seconds = about.get("running_seconds")
    if seconds is None:
        return None
    return f"{seconds} seconds" if seconds < 60 else minutes(seconds // 60 * PER_MINUTE)


def say_how_long(app: Any, doctree: nodes.document) -> None:
    """Write under the title how long the page takes to read and, for a notebook, to compute."""
    title = next(iter(doctree.findall(nodes.title)), None)
    if title is None or looked_up(app.env.docname):
        return
    main, deeper = words(doctree)
    parts = [f"{minutes(main)} to read"]
    if deeper:
        parts.append(f"{minutes(deeper)} more in the folded sections")
    computed = running_time(Path(app.env.doc2path(app.env.docname)).with_suffix(".ipynb"))
    if computed:
        parts.append(f"{computed} to compute")
    title.parent.insert(1, nodes.paragraph("", " · ".join(parts), classes=["reading-time"]))


def fold(app: Any, doctree: nodes.document, docname: str) -> None:
    """Put the folded sections into elements that open on a click."""
    for section in filter(folded, list(doctree.findall(nodes.section))):
        title, *rest = section.children
        section.children = []
        for part in (
            nodes.raw("", '<details class="deeper"><summary>', format="html"),
            title,
            nodes.raw("", "</summary>", format="html"),
            *rest,
            nodes.raw("", "</details>", format="html"),
        ):
            section.append(part)


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.connect("doctree-read", say_how_long)
    app.connect("doctree-resolved", fold)
    app.add_js_file("reading.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
