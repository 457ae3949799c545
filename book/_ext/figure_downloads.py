"""Sphinx extension: under every figure a line to take it away, a gallery, a permanent address for each."""

import shutil
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from figure_citations import STYLES, Companion, of_companion, of_figure, of_paper
from figure_making import made
from figure_sources import LIST, Entry, Figure, kept, listed, thumbnail
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from metalib.errors import InputError

LABELS = {"svg": "SVG", "pdf": "PDF", "png": "PNG (300 dpi)", "csv": "CSV", "html": "HTML"}
PNG_ONLY = "PNG"
MOVED = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="canonical" href="{target}">
<meta http-equiv="refresh" content="0; url={target}">
</head>
<body><p><a href="{target}">{title}</a></p></body>
</html>
"""
log = logging.getLogger(__name__)


class Gallery(nodes.General, nodes.Element):
    """Stands where the gallery goes until all pages are read."""


def up(page: str) -> str:
    """Return what leads from a page to the root of the book.

    >>> up("index"), up("notebooks/sine")
    ('', '../')
    """
    return "../" * page.count("/")


def address(figure: Figure, form: str) -> str:
    """Return where a form of a figure lies, from the root of the book."""
    return f"_static/{Path(figure.file).name}" if figure.entry.frame else f"figures/{figure.name}.{form}"


def copyable(texts: dict[str, str]) -> str:
    """Return texts by name, each in a box that the copy button knows, as HTML."""
    return "".join(
        f'<p class="style">{style}</p><div class="highlight"><pre>{escape(texts[style])}</pre></div>'
        for style in STYLES
    )


def line(figure: Figure, root: Path, source: Path, base: str) -> str:
    """Return the line under a figure, as HTML."""
    here, title = up(figure.page), escape(figure.entry.title, quote=True)
    names = LABELS if "svg" in figure.forms else {**LABELS, "png": PNG_ONLY}
    links = [
        f'<a href="{here}{address(figure, form)}" download title="{title}">{names[form]}</a>'
        for form in figure.forms
    ]
    cited = of_figure(Companion.read(root), figure.name, figure.entry.title, base + figure.permalink)
    links += [
        f"<details><summary>cite</summary>{copyable(cited)}</details>",
        f"<details><summary>how made</summary>{made(figure, root, source, here)}</details>",
        f'<a href="{here}{figure.permalink}" title="{title}">permalink</a>',
    ]
    return f'<div class="figure-line" id="take-{figure.name}">{"".join(links)}</div>'


def add_lines(app: Any, doctree: nodes.document) -> None:
    """Add its line to every figure of a page, and remember the figure."""
    env, page = app.env, app.env.docname
    root, path = Path(env.srcdir), Path(env.doc2path(page))
    env.note_dependency(str(root / LIST))
    try:
        said = listed(root)
    except InputError as error:
        log.warning(str(error), location=page)
        said = {}
    for place, figure in found(doctree, page, path, root, said):
        if figure.entry.results:
            for result in figure.entry.results:
                env.note_dependency(str(root / "results" / result / "provenance.json"))
        env.book_figures[figure.name] = figure
        if "svg" in figure.forms and not figure.entry.frame and app.builder.name != "singlehtml":
            open_alone(place, f"{up(page)}{address(figure, 'svg')}")
        raw = nodes.raw("", line(figure, root, path.relative_to(root), base_of(app)), format="html")
        place.parent.insert(place.parent.index(place) + 1, raw)


def open_alone(figure: nodes.Element, target: str) -> None:
    """Let a click on a picture open it by itself, where a telephone enlarges it without losing sharpness."""
    for image in list(figure.findall(nodes.image)):
        if not isinstance(image.parent, nodes.reference):
            link = nodes.reference("", "", internal=True, refuri=target, classes=["figure-alone"])
            image.replace_self(link)
            link += image


def base_of(app: Any) -> str:
    """Return the address of the book on the web; empty if it has none."""
    base = app.config.html_baseurl
    return f"{base.rstrip('/')}/" if base else ""


def found(
    doctree: nodes.document, page: str, path: Path, root: Path, said: dict[str, Entry]
) -> list[tuple[nodes.Element, Figure]]:
    """Return the figures of a page with their nodes."""
    forms = kept(path) if path.suffix == ".ipynb" else {}
    figures: list[tuple[nodes.Element, Figure]] = []
    for node in list(doctree.findall(nodes.figure)):
        name = next((name for name in node["ids"] if name.startswith("fig-")), None)
        images = list(node.findall(nodes.image))
        if name is None or not images:
            continue
        caption = next(iter(node.findall(nodes.caption)), nodes.caption())
        figure = Figure(
            name,
            page,
            caption=[simple(child) for child in caption.children],
            alt=images[0].get("alt", ""),
            entry=said.get(name) or Entry(caption.astext().split(". ")[0].strip()),
            listed=name in said,
            forms=tuple(forms.get(name, {})) or (Path(images[0]["uri"]).suffix[1:],),
            file="" if name in forms else images[0]["uri"],
        )
        figures.append((node, figure))
    frames = {Path(entry.frame).name: name for name, entry in said.items() if entry.frame}
    for node in list(doctree.findall(nodes.raw)):
        for file, name in frames.items():
            if "<iframe" in node.astext() and f"/{file}" in node.astext():
                entry = said[name]
                figure = Figure(name, page, [], "", entry, forms=("html",), file=entry.frame)
                node.parent.insert(node.parent.index(node), nodes.target("", "", ids=[name]))
                figures.append((node, figure))
    return figures


def simple(node: nodes.Node) -> tuple[str, str]:
    """Return a part of a caption that reads the same on another page: what it is and what it says."""
    return ("math" if isinstance(node, nodes.math) else "text"), node.astext()


class GalleryDirective(SphinxDirective):
    """All figures of the book."""

    def run(self) -> list[nodes.Node]:
        """Return what stands for them."""
        self.env.book_galleries.add(self.env.docname)
        return [Gallery()]


class CiteDirective(SphinxDirective):
    """How to cite `companion`, `paper` or a figure, to copy."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the boxes."""
        root, base, what = Path(self.env.srcdir), base_of(self.env.app), self.arguments[0]
        self.env.note_dependency(str(root / "CITATION.cff"))
        companion = Companion.read(root)
        if what == "paper":
            texts = of_paper()
        elif what == "companion":
            texts = of_companion(companion, base)
        else:
            texts = of_figure(companion, what, listed(root)[what].title, f"{base}figures/{what}.html")
        return [nodes.raw("", f'<div class="figure-cite">{copyable(texts)}</div>', format="html")]


def in_order(env: Any) -> list[Figure]:
    """Return all figures in the order of reading."""
    order = [env.config.root_doc]
    for page in env.toctree_includes.get(env.config.root_doc, []):
        order += [page, *env.toctree_includes.get(page, [])]
    place = {page: i for i, page in enumerate(order)}
    return sorted(env.book_figures.values(), key=lambda figure: place.get(figure.page, len(place)))


def fill_galleries(app: Any, doctree: nodes.document, page: str) -> None:
    """Put the cards of all figures where the gallery goes."""
    for gallery in list(doctree.findall(Gallery)):
        cards: list[nodes.Node] = [nodes.raw("", '<div class="figure-gallery">', format="html")]
        for figure in in_order(app.env):
            cards += card(figure, up(page), app.env.titles[figure.page].astext())
        gallery.replace_self([*cards, nodes.raw("", "</div>", format="html")])


def card(figure: Figure, here: str, on_page: str) -> list[nodes.Node]:
    """Return a figure as a card of the gallery."""
    title, target = escape(figure.entry.title, quote=True), f"{here}{figure.page}.html"
    small = {"png": f"{figure.name}-small.png", "svg": f"{figure.name}.svg"}
    file = next((small[form] for form in ("png", "svg") if form in figure.forms), None)
    alt = escape(figure.alt or title, quote=True)
    image = f'<img src="{here}figures/{file}" alt="{alt}" loading="lazy">' if file else ""
    link = f'<a href="{target}#{figure.name}">{image}{title}</a>'
    head = f'<div class="figure-card" id="card-{figure.name}">{link}'
    links = [
        f'<a href="{here}{address(figure, form)}" download title="{title}">{LABELS[form].split()[0]}</a>'
        for form in figure.forms
    ]
    links += [
        f'<a href="{target}#take-{figure.name}" title="{title}">cite</a>',
        f'<a href="{here}{figure.permalink}" title="{title}">permalink</a>',
    ]
    tail = f'<p class="figure-line">{" ".join(links)} <span>{escape(on_page)}</span></p></div>'
    parts = [nodes.math("", text) if kind == "math" else nodes.Text(text) for kind, text in figure.caption]
    caption = nodes.paragraph("", "", *parts)
    return [nodes.raw("", head, format="html"), caption, nodes.raw("", tail, format="html")]


def write_files(app: Any, exception: Exception | None) -> None:
    """Write all forms of all figures, their permanent addresses, and the raw results behind them."""
    if app.builder.format != "html" or exception:
        return
    root, out = Path(app.srcdir), Path(app.outdir)
    folder = out / "figures"
    folder.mkdir(exist_ok=True)
    for figure in app.env.book_figures.values():
        for suffix, content in files(figure, Path(app.env.doc2path(figure.page)), root).items():
            (folder / f"{figure.name}{suffix}").write_bytes(content)
        target, title = f"../{figure.page}.html#{figure.name}", escape(figure.entry.title, quote=True)
        (folder / f"{figure.name}.html").write_text(MOVED.format(title=title, target=target))
        for result in figure.entry.results:
            copied = out / "results" / result
            copied.mkdir(parents=True, exist_ok=True)
            for path in [
                *(root / "results" / result).glob("*.csv"),
                root / "results" / result / "provenance.json",
            ]:
                shutil.copyfile(path, copied / path.name)


def files(figure: Figure, path: Path, root: Path) -> dict[str, bytes]:
    """Return the files of a figure, by what follows its name."""
    if figure.file:
        return {f".{figure.forms[0]}": (root / figure.file).read_bytes()} if not figure.entry.frame else {}
    forms = kept(path)[figure.name]
    return {f".{form}": content for form, content in forms.items()} | {"-small.png": thumbnail(forms["png"])}


def start(app: Any) -> None:
    """Remember figures and galleries from one build to the next."""
    for name, empty in (("book_figures", {}), ("book_galleries", set())):
        if not hasattr(app.env, name):
            setattr(app.env, name, empty)


def forget(app: Any, env: Any, page: str) -> None:
    """Forget what is on a page that is read again."""
    start(app)
    env.book_figures = {name: figure for name, figure in env.book_figures.items() if figure.page != page}
    env.book_galleries.discard(page)


def merge(app: Any, env: Any, pages: list[str], other: Any) -> None:
    """Take over what another process has read."""
    env.book_figures |= {name: figure for name, figure in other.book_figures.items() if figure.page in pages}
    env.book_galleries |= other.book_galleries & set(pages)


def write_again(app: Any, env: Any) -> list[str]:
    """Have galleries written whenever a page has changed, with their mathematics set."""
    for page in env.book_galleries:
        env.get_domain("math").data["has_equations"][page] = True
    return sorted(env.book_galleries)


def setup(app: Any) -> dict[str, Any]:
    """Register the extension."""
    app.add_node(Gallery)
    app.add_directive("figure-gallery", GalleryDirective)
    app.add_directive("how-to-cite", CiteDirective)
    app.connect("builder-inited", start)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("doctree-read", add_lines, priority=900)
    app.connect("env-updated", write_again)
    app.connect("doctree-resolved", fill_galleries)
    app.connect("build-finished", write_files)
    return {"env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
