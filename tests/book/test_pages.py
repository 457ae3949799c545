"""The built book: its links lead somewhere, and in a real browser every page is whole, without a network."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page

from tests.book.sources import ROOT, pages

pytestmark = pytest.mark.xdist_group("book")

HARMLESS = (
    # The theme, on the first page that a browser opens, before it has stored a choice of light or dark.
    "Got invalid theme mode: . Resetting to auto.",
)
NARROW = 360
"""The width of a small telephone, in CSS pixels."""

HEAVIEST = 2_000_000
"""Bytes that the first visit of any page may transfer, all its pictures included."""

SLOWEST = 2_000
"""Milliseconds until any page answers."""

PROBE = """() => ({
  mathematics: document.querySelectorAll('mjx-container').length,
  untypeset: [...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container'))
    .map(e => e.textContent),
  wrong: [...document.querySelectorAll('mjx-merror')].map(e => e.getAttribute('data-mjx-error')),
  images: [...document.images].map(i => ({source: i.src, width: i.naturalWidth})),
  bytes: [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .reduce((sum, entry) => sum + entry.transferSize, 0),
  interactive: performance.getEntriesByType('navigation')[0].domInteractive,
})"""

LOAD_ALL_IMAGES = """() => Promise.all([...document.images].map(image => {
  image.loading = 'eager';
  return image.decode().catch(() => null);
}))"""

CUT_OFF = """() => ({
  page: document.documentElement.scrollWidth - window.innerWidth,
  equations: [...document.querySelectorAll('div.math mjx-container')]
    .filter(e => e.getBoundingClientRect().left < e.parentElement.getBoundingClientRect().left - 1)
    .map(e => e.parentElement.id || e.parentElement.textContent.slice(0, 40)),
})"""


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(), "html.parser")


def open_page(browser: Browser, address: str, width: int = 1200) -> tuple[Page, list[str]]:
    """Open a page, wait until its mathematics is set, and return it with everything that went wrong."""
    wrong: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})

    def refuse_outside(route):
        host = urlsplit(route.request.url).hostname
        if host in (None, "", "127.0.0.1"):
            route.continue_()
        else:
            wrong.append(f"request to {route.request.url}")
            route.abort()

    def hear(message):
        if message.type in ("error", "warning") and message.text not in HARMLESS:
            wrong.append(f"console {message.type}: {message.text}")

    page.route("**/*", refuse_outside)
    page.on("console", hear)
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.goto(address, wait_until="load")
    page.evaluate("window.MathJax?.startup?.promise")
    page.evaluate(LOAD_ALL_IMAGES)
    return page, wrong


def test_links_and_anchors_inside_the_book_resolve(book):
    found = {path: soup(path) for path in book.rglob("*.html") if "_static" not in path.parts}
    anchors = {path: {tag["id"] for tag in html.find_all(id=True)} for path, html in found.items()}
    broken = []
    for path, html in found.items():
        for link in html.find_all("a", href=True):
            target = urlsplit(link["href"])
            if target.scheme or target.netloc:
                continue
            file = (path.parent / unquote(target.path)).resolve() if target.path else path
            if not file.exists():
                broken.append(f"{path.name}: {link['href']}: no such file")
            elif target.fragment and unquote(target.fragment) not in anchors.get(file, set()):
                broken.append(f"{path.name}: {link['href']}: no such anchor")
    assert not broken


def test_every_equation_of_the_paper_can_be_linked_to_at_one_place_and_has_its_number(book):
    places: dict[int, list[str]] = {number: [] for number in range(1, 48)}
    for page in pages():
        html = soup(book / f"{page}.html")
        for number, found in places.items():
            for equation in html.find_all(id=f"eq-{number}"):
                assert rf"\tag{{{number}}}" in equation.text, (page, number)
                found.append(page)
    assert [number for number, found in places.items() if len(found) != 1] == []


def test_no_page_or_style_names_a_resource_on_another_machine(book):
    outside = []
    for path in book.rglob("*.html"):
        for tag in soup(path).find_all(
            ["script", "link", "img", "iframe", "source", "video", "audio", "object"]
        ):
            address = tag.get("src") or tag.get("data") or (tag.get("href") if tag.name == "link" else None)
            if address and urlsplit(address).netloc:
                outside.append(f"{path.name}: {address}")
    for path in book.rglob("*.css"):
        outside += [
            f"{path.name}: {found}"
            for found in re.findall(r"url\(['\"]?(?:https?:)?//[^)]+", path.read_text())
        ]
    assert not outside


@pytest.mark.parametrize("page", pages())
def test_images_have_alternative_text(book, page):
    article = soup(book / f"{page}.html").find("article")
    assert article is not None
    silent = [image["src"] for image in article.find_all("img") if len(image.get("alt", "").split()) < 5]
    assert not silent, "describe what the figure shows, in at least five words"


@pytest.mark.parametrize("page", pages())
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_page_is_whole_without_a_network(browser, book, site, page, scheme):
    base = site if scheme == "http" else book.as_uri()
    opened, wrong = open_page(browser, f"{base}/{page}.html")
    seen = opened.evaluate(PROBE)
    opened.close()
    assert not wrong
    assert not seen["wrong"], "MathJax cannot read these"
    assert not seen["untypeset"]
    assert [image["source"] for image in seen["images"] if image["width"] == 0] == []
    source = soup(book / f"{page}.html")
    assert seen["mathematics"] >= len(source.select(".math"))
    assert len(seen["images"]) >= len(source.select("article img"))
    if scheme == "http":
        assert 0 < seen["bytes"] < HEAVIEST
        assert seen["interactive"] < SLOWEST


@pytest.mark.parametrize("page", pages())
def test_page_reads_well_in_a_narrow_window(browser, site, page):
    opened, _ = open_page(browser, f"{site}/{page}.html", width=NARROW)
    seen = opened.evaluate(CUT_OFF)
    opened.close()
    assert seen["page"] <= 0, "the page must not scroll sideways"
    assert not seen["equations"], "the left end of these equations cannot be reached"


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_search_finds_pages_without_a_network(browser, book, site, scheme):
    base = site if scheme == "http" else book.as_uri()
    opened, wrong = open_page(browser, f"{base}/search.html?q=Reptile")
    opened.wait_for_selector("#search-results li a")
    titles = opened.locator("#search-results li > a").all_text_contents()
    opened.close()
    assert "Problem and algorithms" in titles
    if scheme == "file":
        # There, a browser keeps scripts from reading the pages for their excerpts, and says so.
        wrong = [what for what in wrong if what.startswith("request")]
    assert not wrong


def test_every_notebook_and_page_is_in_the_table_of_contents():
    written = {path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.glob("notebooks/*.ipynb")}
    written |= {path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.glob("book/*.md")}
    assert written | {"index"} == set(pages())
