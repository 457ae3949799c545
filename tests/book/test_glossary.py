"""The glossary explains every symbol; its terms are marked on pages, and shown on hover and on focus."""

import json
import re
from html import unescape
from pathlib import Path

import hover
import pytest
from docutils import nodes

from tests.book.sources import ROOT

TERMS = hover.terms(ROOT)
SYMBOLS = hover.symbols(ROOT)


def page(*content: nodes.Node) -> nodes.document:
    """A page with one section per paragraph given."""
    document = nodes.document(None, None)
    whole = nodes.section("", nodes.title("", "Reptile"))
    document += whole
    for paragraph in content:
        section = nodes.section("", nodes.title("", "MAML"))
        section += paragraph
        whole += section
    return document


def marked(document: nodes.document) -> list[str]:
    hover.mark(document, ROOT, "glossary.html")
    return [link["refuri"] for link in document.findall(nodes.reference) if "term" in link["classes"]]


def test_every_symbol_of_the_notation_has_a_definition_without_latex():
    table = (ROOT / "book" / "notation.md").read_text().split("## Equations")[0]
    rows = re.findall(r"^\| (\{math\}.*?) \|", table, flags=re.MULTILINE)
    listed = {latex for row in rows for latex in re.findall(r"`([^`]*)`", row)}
    assert {symbol.title[7:-1] for symbol in SYMBOLS} == listed
    assert not [symbol for symbol in SYMBOLS if re.search(r"[\\{}`\[\]]", symbol.text)]


def test_anchors_and_written_forms_belong_to_one_term_only():
    everything = [*TERMS, *SYMBOLS]
    assert len({term.name for term in everything}) == len(everything)
    forms = [form.casefold() for term in TERMS for form in term.forms]
    assert len(set(forms)) == len(forms)


def test_definitions_are_plain_text():
    assert not [term.title for term in TERMS if re.search(r"[\\{}`$*]|\]\(", term.text)]


def test_the_first_occurrence_in_every_section_is_marked():
    once = nodes.paragraph("", "Reptile and MAML, two minibatches; Reptile again.")
    again = nodes.paragraph("", "First-order MAML is not MAML. Inner steps.")
    assert marked(page(once, again)) == [
        f"glossary.html#term-{name}"
        for name in ("reptile", "maml", "minibatch", "fomaml", "maml", "inner-loop")
    ]


def test_headings_links_and_code_are_left_alone():
    inside = nodes.paragraph("", "", nodes.literal("", "Reptile"), nodes.reference("", "MAML", refuri="x"))
    assert marked(page(inside, nodes.paragraph("", "REPTILES reptilian xMAML"))) == []


def test_symbols_are_marked_with_any_index():
    symbols = nodes.paragraph(
        "", "", nodes.math("", r"\phi_1"), nodes.math("", "g_2"), nodes.math("", r"x \phi")
    )
    assert marked(page(symbols)) == ["glossary.html#symbol-phi-i", "glossary.html#symbol-g-i"]


@pytest.mark.xdist_group("book")
def test_the_built_pages_carry_the_definitions_and_link_to_them(book):
    script = (book / "_static" / "glossary-definitions.js").read_text()
    definitions = json.loads(script.split("=", 1)[1].strip().rstrip(";"))
    assert set(definitions) == {term.name for term in (*TERMS, *SYMBOLS)}
    glossary = (book / "book" / "glossary.html").read_text()
    assert all(f'id="{name}"' in glossary for name in definitions)


@pytest.mark.xdist_group("book")
def test_a_linked_formula_is_heard_as_it_is_written(book):
    page = (book / "notebooks" / "expansion.html").read_text()
    link = r'#symbol-[^"]+" aria-label="([^"]*)">(?:<em>)?<span class="math[^"]*">\\\((.*?)\\\)</span>'
    heard = re.findall(link, page)
    assert len(heard) == len(re.findall(r'class="term reference internal" href="[^"]*#symbol-', page))
    assert all(unescape(name) == hover.unicode(unescape(formula)) for name, formula in heard)
    assert {"φ₁", "gₖ", "gᵢ"} <= {name for name, _ in heard}


@pytest.mark.xdist_group("book")
def test_a_definition_appears_on_hover_and_on_focus_and_escape_hides_it(browser, site):
    view = browser.new_page()
    view.goto(f"{site}/book/problem.html")
    tip, term = view.locator("#glossary-tip"), view.locator("a.term[href$='#term-maml']").first
    term.hover()
    assert tip.inner_text().startswith("Model-agnostic meta-learning")
    view.keyboard.press("Escape")
    assert tip.is_hidden()
    view.mouse.move(0, 0)  # or another term may lie below it once the page has scrolled
    view.locator("a.term[href$='#symbol-alpha']").first.focus()
    assert tip.inner_text().startswith("Inner step size")
    described = view.evaluate("document.activeElement.getAttribute('aria-describedby')")
    assert described == "glossary-tip"
    box = tip.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    view.close()


def test_notation_is_read_anew_in_every_build(tmp_path: Path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "notation.md").write_text("| {math}`q` | a quantity ([Eq. 1](#eq-1)) | code |\n")
    assert [(symbol.name, symbol.text) for symbol in hover.symbols(tmp_path)] == [
        ("symbol-q", "A quantity (Eq. 1)")
    ]
