"""Sphinx extension: the glossary, and its terms and symbols marked on every page so that they can be hovered.

Terms come from `book/glossary.yml`, symbols from the first table of `book/notation.md`. On a page the first
occurrence in every section becomes a link to the glossary; `glossary.js` shows the definition beside it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html import escape, unescape
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

PAGE = "book/glossary"
UNMARKED = (PAGE, "book/bibliography", "genindex", "search")
INERT = (nodes.reference, nodes.title, nodes.literal, nodes.caption, nodes.legend, nodes.raw, nodes.term)
"""Nothing in these is marked: links, headings, code, captions."""

SYMBOL_LINK = re.compile(
    r'(<a class="term reference internal" href="[^"#]*#symbol-[^"]+")'
    r'(>(?:<em>)?<span class="math[^"]*">\\\((.*?)\\\)</span>)'
)

LETTERS = {
    r"\tau": "τ", r"\phi": "φ", r"\alpha": "α", r"\epsilon": "ε", r"\beta": "β", r"\lambda": "λ",
    r"\tilde φ": "φ̃", r"\tildeφ": "φ̃", r"\bar g": "ḡ", r"\bar H": "H̄", r"\sum": "Σ", r"\E": "E", r"\,": " ",
    r"\mathcal{W}": "W", r"\cdot": "·",
}  # fmt: skip
BELOW = {"1": "₁", "2": "₂", "3": "₃", "4": "₄", "i": "ᵢ", "j": "ⱼ", "k": "ₖ"}


@dataclass(frozen=True)
class Term:
    """What the glossary explains.

    Attributes:
        name: its anchor.
        title: how the glossary writes it, as Markdown.
        text: its definition, plain text.
        forms: how it is written on pages, words or LaTeX.
    """

    name: str
    title: str
    text: str
    forms: tuple[str, ...] = field(default=())


def anchor(text: str) -> str:
    r"""Return a name for an anchor.

    >>> anchor("batch normalization"), anchor(r"\bar g_i")
    ('term-batch-normalization', 'term-bar-g_i')
    """
    return "term-" + re.sub(r"[^\w]+", "-", text).strip("-").lower()


def symbol_anchor(latex: str) -> str:
    r"""Return a name for the anchor of a symbol; capitals differ from small letters.

    >>> symbol_anchor("K"), symbol_anchor("k"), symbol_anchor(r"\phi_i")
    ('symbol-capital-k', 'symbol-k', 'symbol-phi-i')
    """
    spelled = re.sub(r"(?<![A-Za-z\\])([A-Z])(?![a-z])", r"capital-\1", latex)
    return "symbol-" + re.sub(r"[^A-Za-z]+", "-", spelled).strip("-").lower()


def unicode(latex: str) -> str:
    r"""Write a short formula without LaTeX.

    >>> unicode(r"\bar H_i v"), unicode(r"L'_i(\phi_1)"), unicode(r"\mathcal{W}_\tau")
    ('H̄ᵢ v', 'L′ᵢ(φ₁)', 'W_τ')
    """
    for command, letter in LETTERS.items():
        latex = latex.replace(command, letter)
    latex = re.sub(r"_([1-4ijk])(?!\w)", lambda found: BELOW[found[1]], latex)
    return latex.replace("'", "′").replace("-", "−").replace("^k", "ᵏ").replace("{", "").replace("}", "")


def sentence(text: str) -> str:
    """Return a definition with a capital, unless it begins with a symbol.

    >>> sentence("inner steps"), sentence("a step"), sentence("k steps")
    ('Inner steps', 'A step', 'k steps')
    """
    return text if re.match("[^Aa] ", text) else text[0].upper() + text[1:]


def plain(markdown: str) -> str:
    """Return a cell of a table as plain text: links as their text, formulas in Unicode."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    text = re.sub(r"\{math\}`([^`]*)`", lambda found: unicode(found[1]), text)
    return " ".join(text.replace("`", "").split())


@cache
def terms(root: Path) -> tuple[Term, ...]:
    """Return the terms of `book/glossary.yml`, in the order of the alphabet."""
    listed = yaml.safe_load((root / "book" / "glossary.yml").read_text())
    found = [
        Term(
            anchor(told["term"]), told["term"], sentence(told["text"]), (told["term"], *told.get("forms", ()))
        )
        for told in listed
    ]
    return tuple(sorted(found, key=lambda term: term.title.casefold()))


@cache
def symbols(root: Path) -> tuple[Term, ...]:
    """Return the symbols of `book/notation.md` that are written as formulas, in the order of its table."""
    table = (root / "book" / "notation.md").read_text().split("## Equations")[0]
    found = []
    for row in re.findall(r"^\| (\{math\}.*?) \| (.*?) \|", table, flags=re.MULTILINE):
        for latex in re.findall(r"\{math\}`([^`]*)`", row[0]):
            forms = (latex, *(part.strip() for part in latex.split(", ") if "(" not in latex))
            found.append(Term(symbol_anchor(latex), f"{{math}}`{latex}`", sentence(plain(row[1])), forms))
    return tuple(found)


def general(latex: str) -> str:
    r"""Return a symbol with a general index, as the notation lists it.

    >>> general(r"\phi_1"), general(r"\bar g_{k}"), general("c_i"), general(r"\phi_{k+1}"), general("k")
    ('\\phi_i', '\\bar g_i', 'c', '\\phi_i', 'k')
    """
    latex = re.sub(r"_(\{?(?:\d|k|j|k\+1|k-1|i\+1)\}?)$", "_i", latex.strip())
    return {"c_i": "c", r"\bar H_i": r"\bar H_i v"}.get(latex, latex)


def pattern(listed: tuple[Term, ...]) -> tuple[re.Pattern[str], dict[str, Term]]:
    """Return what finds a term in text, the longest first, and the term of every form."""
    by_form = {form: term for term in listed for form in term.forms}
    # Capitals belong to a name, but any form may begin a sentence.
    parts = [
        rf"(?i:{re.escape(form[0])}){re.escape(form[1:])}" for form in sorted(by_form, key=len, reverse=True)
    ]
    by_form |= {form[0].swapcase() + form[1:]: term for form, term in by_form.items()}
    return re.compile(rf"(?<![\w-])({'|'.join(parts)})(s?)(?![\w-])"), by_form


def section_of(node: nodes.Node) -> int:
    """Return which section of a page a node is in: subsections count to the section that holds them."""
    outer: nodes.Node | None = None
    while node.parent is not None:
        if isinstance(node, nodes.section) and isinstance(node.parent, nodes.section):
            outer = node
        node = node.parent
    return id(outer)


def inert(node: nodes.Node) -> bool:
    """Return whether a node lies in something that must stay as it is, or outside of running text."""
    running = False
    while node.parent is not None:
        node = node.parent
        if isinstance(node, INERT):
            return True
        running = running or isinstance(node, nodes.paragraph)
    return not running


def link(term: Term, inside: nodes.Node, page: str) -> nodes.reference:
    """Return the marked term."""
    marked = nodes.reference("", "", internal=True, refuri=f"{page}#{term.name}", classes=["term"])
    marked += inside
    return marked


def mark_terms(
    text: str, finds: re.Pattern[str], by_form: dict[str, Term], seen: set[str], page: str
) -> list:
    """Return a text cut into nodes, with the terms that were not `seen` yet as links."""
    parts: list[nodes.Node] = []
    start = 0
    for found in finds.finditer(text):
        term = by_form[found[1]]
        if term.name in seen:
            continue
        seen.add(term.name)
        parts += [nodes.Text(text[start : found.start()]), link(term, nodes.Text(found[0]), page)]
        start = found.end()
    return [*parts, nodes.Text(text[start:])] if parts else []


def mark(doctree: nodes.document, root: Path, page: str) -> None:
    """Turn the first occurrence of every term and symbol in a section into a link to the glossary.

    Args:
        doctree: a page.
        root: where the sources of the book are.
        page: the address of the glossary, seen from the page.
    """
    finds, by_form = pattern(terms(root))
    of_symbol = {form: term for term in symbols(root) for form in term.forms}
    seen: dict[int, set[str]] = {}
    for node in list(_candidates(doctree)):
        here = seen.setdefault(section_of(node), set())
        if isinstance(node, nodes.math):
            latex = node.astext()
            term = of_symbol.get(latex) or of_symbol.get(general(latex))
            if term and term.name not in here:
                here.add(term.name)
                node.parent.replace(node, link(term, node.deepcopy(), page))
        else:
            parts = mark_terms(node.astext(), finds, by_form, here, page)
            if parts:
                node.parent.replace(node, parts)


def _candidates(doctree: nodes.document) -> Iterator[nodes.Node]:
    for node in doctree.findall(lambda n: isinstance(n, nodes.Text | nodes.math)):
        in_math = isinstance(node.parent, nodes.math)
        if not in_math and not inert(node):
            yield node


class _Listing(SphinxDirective):
    def listed(self, root: Path) -> tuple[Term, ...]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir)
        for name in ("glossary.yml", "notation.md"):
            self.env.note_dependency(str(root / "book" / name))
        place = nodes.container(classes=["glossary"])
        for term in self.listed(root):
            entry = nodes.container(ids=[term.name], classes=["glossary-entry"])
            title = term.title if "{math}" in term.title else f"**{term.title}**"
            text = f"{title}  \n{term.text}"
            self.state.nested_parse(StringList(text.splitlines(), source=PAGE), 0, entry)
            place += entry
        return [place]


class TermsDirective(_Listing):
    """All terms with their definitions."""

    def listed(self, root: Path) -> tuple[Term, ...]:
        """Return the terms."""
        return terms(root)


class SymbolsDirective(_Listing):
    """All symbols with their meanings."""

    def listed(self, root: Path) -> tuple[Term, ...]:
        """Return the symbols."""
        return symbols(root)


def forget(app: Any) -> None:
    """Read the glossary anew for every build."""
    terms.cache_clear()
    symbols.cache_clear()


def on_resolved(app: Any, doctree: nodes.document, docname: str) -> None:
    """Mark a page."""
    if docname not in UNMARKED and app.builder.format == "html":
        mark(doctree, Path(app.srcdir), app.builder.get_relative_uri(docname, PAGE))


def name_symbols(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Give links around a formula a name for those who hear the page; MathJax gives them none."""
    if "body" in context:
        context["body"] = SYMBOL_LINK.sub(
            lambda found: f'{found[1]} aria-label="{escape(unicode(unescape(found[3])))}"{found[2]}',
            context["body"],
        )


def write_definitions(app: Any, exception: Exception | None) -> None:
    """Write the definitions for `glossary.js`; a script, since a page on the disk cannot read other files."""
    if exception is None and app.builder.format == "html":
        root = Path(app.srcdir)
        told = {term.name: term.text for term in (*terms(root), *symbols(root))}
        script = f"window.glossaryDefinitions = {json.dumps(told, ensure_ascii=False, indent=0)};\n"
        Path(app.outdir, "_static", "glossary-definitions.js").write_text(script, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.add_directive("glossary-terms", TermsDirective)
    app.add_directive("glossary-symbols", SymbolsDirective)
    app.add_css_file("study.css")
    app.add_js_file("glossary-definitions.js", loading_method="defer")
    app.add_js_file("glossary.js", loading_method="defer")
    app.connect("builder-inited", forget)
    app.connect("doctree-resolved", on_resolved)
    app.connect("html-page-context", name_symbols)
    app.connect("build-finished", write_definitions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
