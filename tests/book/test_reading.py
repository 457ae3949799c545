"""Pages answer first: question, answer, verdicts; then at most eight minutes, and the rest folded."""

import re

import paper_claims
import pytest
from bs4 import BeautifulSoup, Tag
from measured import told
from reading import WORD, looked_up, minutes

from tests.book.sources import NOTEBOOKS, ROOT, pages, read

pytestmark = pytest.mark.xdist_group("book")

LONGEST = 1500
"""Words of a page's main path."""
READ = [page for page in pages() if not looked_up(page)]
EACH_READ = pytest.mark.parametrize("page", READ)
ASKING = [page for page in READ if page.startswith("notebooks/")] + [
    page
    for page in ("book/problem", "book/notation", "book/data", "book/reproduce", "book/found")
    if page in READ
]
"""Pages that answer a question."""

FORMULAS = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$|```.*?```|\{\w+(?::\w+)*\}`[^`]*`|`[^`]*`", re.DOTALL)
TYPED = re.compile(r"(?<![\w.])\d+[.]\d+(?!\.\d)\b")
"""A decimal number outside of formulas, code and what a cell tells."""
SECTION = re.compile(r"[Ss]ections? [\d.]+(?:(?:,| and| to) [\d.]+)*|Python [\d.]+")


def article(book, page: str) -> Tag:
    found = BeautifulSoup((book / f"{page}.html").read_text(), "html.parser").find("article")
    assert isinstance(found, Tag)
    return found


def words(part: Tag) -> int:
    """Count what is read of a part: neither code nor formulas."""
    return len(WORD.findall(part.get_text(" ")))


@EACH_READ
def test_the_main_path_of_a_page_takes_at_most_eight_minutes(book, page):
    text = article(book, page)
    said = text.select_one(".reading-time").extract().text
    for silent in text.select(
        "pre, details:not(.deeper), .math, script, style, iframe, .playground, .headerlink, .prev-next-area"
    ):
        silent.decompose()
    deeper = sum(words(part) for part in text.select("details.deeper"))
    main = words(text) - deeper
    assert main <= LONGEST
    low, high = (int(minutes(int(share * main)).split()[0]) for share in (0.9, 1.1))
    found = re.match(r"(\d+) minutes? to read", said)
    assert found, said
    assert low <= int(found[1]) <= high, (main, said)


@pytest.mark.parametrize("page", ASKING)
def test_a_page_begins_with_its_question_and_the_answer(book, page):
    text = article(book, page)
    first = [paragraph.text for paragraph in text.select("section > p")[:3]]
    assert first[0].endswith((" to read", "sections", "compute"))
    assert first[1].startswith("Question.")
    assert first[2].startswith("Answer.")
    assert len(first[1].split()) <= 60
    assert 10 <= len(first[2].split()) <= 120


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_numbers_in_the_text_come_from_cells(path):
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            typed = TYPED.findall(SECTION.sub("", FORMULAS.sub("", cell.source)))
            assert not typed, "let a cell tell these (companion.prose.tell), or set them as mathematics"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_number_that_a_cell_tells_is_quoted_somewhere(path):
    sources = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    quoted = set(re.findall(r"\{measured\}`(\w+)`", "\n".join(sources)))
    elsewhere = [*ROOT.glob("*.md"), *ROOT.glob("book/*.md"), *NOTEBOOKS]
    quoted |= {
        name
        for other in elsewhere
        for name in re.findall(rf"\{{measured\}}`{path.stem}:(\w+)`", other.read_text())
    }
    assert set(told(path)) == quoted


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_table_at_the_top_of_a_page_says_what_the_one_below_says(book, path):
    text = article(book, f"notebooks/{path.stem}")
    if not paper_claims.ledger(path):
        pytest.skip("nothing to compare")
    above = {
        row.select_one("a[href^='#row-']")["href"][1:]: row.select_one(".verdict").text
        for row in text.select(".verdicts tbody tr")
    }
    below = {row["id"]: row.select_one(".verdict").text for row in text.select("tr[id^='row-']")}
    assert above == below
    assert list(below.values()) == [claim.verdict for claim in paper_claims.ledger(path).values()]
    assert len(text.select("details.deeper tr[id^='row-']")) == len(below), "the long table is folded"


def test_a_link_into_a_folded_section_opens_it(browser, site):
    tested = (page for page in ASKING if page.startswith("notebooks/"))
    page = next((page for page in tested if paper_claims.ledger(ROOT / f"{page}.ipynb")), None)
    if page is None:
        pytest.skip("no page is folded yet")
    opened = browser.new_page()
    opened.goto(f"{site}/{page}.html")
    link = opened.locator(".verdicts a[href^='#row-']").first
    row = opened.locator(f"[id='{link.get_attribute('href')[1:]}']")
    assert not row.is_visible()
    link.click()
    row.wait_for(state="visible")
    opened.close()


def test_a_link_to_the_label_of_a_folded_section_opens_it_and_no_other(browser, site):
    page = "notebooks/questions"
    if page not in READ:
        pytest.skip("the page is not part of this book")
    opened = browser.new_page()
    opened.goto(f"{site}/{page}.html#many-steps")
    folded = opened.locator("details.deeper")
    assert folded.count() > 1
    opened.wait_for_function("document.querySelector('details.deeper').open")
    assert folded.evaluate_all("parts => parts.filter(part => part.open).length") == 1
    opened.goto(f"{site}/{page}.html")
    opened.locator("a[href='#cost-and-noise']").first.click()
    opened.locator("#cost-and-noise + details[open]").wait_for()
    opened.close()


def test_print_is_on_white_with_nothing_folded_and_leaves_the_page_as_it_was(browser, site):
    view = browser.new_page()
    view.goto(f"{site}/notebooks/sine.html")
    view.evaluate("document.documentElement.dataset.theme = 'dark'")
    opened = "document.querySelectorAll('details.deeper[open]').length"
    state = f"() => [document.documentElement.dataset.theme, {opened}]"
    before, everything = view.evaluate(state), view.locator("details.deeper").count()
    view.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert view.evaluate(state) == ["light", everything]
    view.evaluate("dispatchEvent(new Event('afterprint'))")
    assert view.evaluate(state) == before
    assert before[1] < everything
    view.close()


@pytest.mark.parametrize(("count", "said"), [(1, "1 minute"), (200, "1 minute"), (1500, "8 minutes")])
def test_the_time_to_read_is_rounded_up(count, said):
    assert minutes(count) == said
