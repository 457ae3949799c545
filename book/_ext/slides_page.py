"""Sphinx extension: the page of slides, drawn while the book is built."""

from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from docutils import nodes
from docutils.statemachine import StringList
from figure_downloads import up
from sphinx.util.docutils import SphinxDirective

from companion.slides import FORMS, SLIDES, Slide, render

FOLDER = "_static/slides"


def shown(slide: Slide, root: str) -> str:
    """Return a slide with its downloads as HTML.

    Args:
        slide: which.
        root: from the page to the root of the book, with a slash at its end.
    """
    title, address = escape(slide.title, quote=True), f"{root}{FOLDER}/{slide.name}"
    links = " ".join(f'<a href="{address}.{form}" download>{form.upper()}</a>' for form in FORMS)
    return (
        f'<img class="slide" loading="lazy" width="960" height="540" src="{address}.svg" alt="{title}">'
        f'<div class="slide-line">{links}</div>'
    )


class SlidesDirective(SphinxDirective):
    """All slides, each with its title, its downloads, and the page that explains it."""

    def run(self) -> list[nodes.Node]:
        """Return one section per slide."""
        found: list[nodes.Node] = []
        # As one page, for the PDF, the whole book lies at its root.
        root = "" if self.env.app.builder.name == "singlehtml" else up(self.env.docname)
        for slide in SLIDES:
            section = nodes.section("", nodes.title("", slide.title), ids=[f"slide-{slide.name}"])
            section += nodes.raw("", shown(slide, root), format="html")
            place = nodes.container()
            line = f"Explained at {{numref}}`{slide.page}`."
            self.state.nested_parse(StringList([line], source="slides"), 0, place)
            section += place.children
            found.append(section)
        return found


def draw(app: Any, exception: Exception | None) -> None:
    """Draw the slides into the finished book, anew: results may have changed since they were drawn."""
    folder = Path(app.outdir, FOLDER)
    if exception is None and app.builder.format == "html":
        mpl.use("agg")
        for slide in SLIDES:
            render(slide, Path(app.srcdir, "results"), folder)


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.add_directive("slides", SlidesDirective)
    app.connect("build-finished", draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
