"""The built book: its links lead somewhere, and in a real browser every page is whole, without a network."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page

from tests.book.sources import ROOT, pages

pytestmark = pytest.mark.xdist_group("book")

NARROW = 360
"""The width of a small telephone, in CSS pixels."""
WIDE = 1200
"""The width of a window on a laptop, in CSS pixels."""

HEAVIEST = 2_000_000
"""Bytes that the first visit of any page may transfer, all its pictures included."""

SLOWEST = 2_000
"""Milliseconds until a page answers."""

PROBE = """() => ({
  mathematics: document.querySelectorAll('mjx-container').length,
  untypeset: [...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container'))
    .map(e => e.textContent),
  wrong: [...document.querySelectorAll('mjx-merror')].map(e => e.getAttribute('data-mjx-error')),
  images: [...document.images].map(i => ({source: i.src, width: i.naturalWidth})),
})"""

MATHJAX = "/mathjax/"
"""In the address of everything that sets mathematics."""

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


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(), "html.parser")


def open_page(browser: Browser, address: str, mathematics: bool = True) -> tuple[Page, list[str], set[str]]:
    """Open a page, wait until its mathematics is set; return it, all that went wrong, and all it fetched."""
    wrong: list[str] = []
    fetched: set[str] = set()
    page = browser.new_page(viewport={"width": WIDE, "height": 900})

    def refuse_outside(route):
        host = urlsplit(route.request.url).hostname
        if not mathematics and MATHJAX in route.request.url:
            route.fulfill(content_type="text/javascript", body="")
        elif host in (None, "", "127.0.0.1"):
            route.continue_()
        else:
            wrong.append(f"request to {route.request.url}")
            route.abort()

    def hear(message):
        if message.type in ("error", "warning"):
            wrong.append(f"console {message.type}: {message.text}")

    page.route("**/*", refuse_outside)
    page.on("request", lambda request: fetched.add(request.url.partition("#")[0].partition("?")[0]))
    page.on("console", hear)
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.goto(address, wait_until="load")
    page.evaluate("window.MathJax?.startup?.promise")
    page.evaluate(LOAD_ALL_IMAGES)
    return page, wrong, fetched


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
        for equation in soup(book / f"{page}.html").find_all(id=re.compile(r"^eq-\d+$")):
            number = int(equation["id"].removeprefix("eq-"))
            if number in places:
                assert rf"\tag{{{number}}}" in equation.text, (page, number)
                places[number].append(page)
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


@dataclass(frozen=True)
class Visit:
    """A page that is open in the browser, what went wrong while it loaded, what it fetched, its source."""

    page: Page
    wrong: list[str]
    fetched: set[str]
    source: BeautifulSoup


@pytest.fixture(scope="module", params=pages())
def visit(request, browser: Browser, book: Path) -> Iterator[Visit]:
    """Open a page as a file, once for all tests that look at it with its mathematics."""
    path = book / f"{request.param}.html"
    opened, wrong, fetched = open_page(browser, path.as_uri())
    yield Visit(opened, wrong, fetched, soup(path))
    opened.close()


def without_images(page: Page) -> list[str]:
    """Return the sources of images that are not there, or cannot be read."""
    return [image["source"] for image in page.evaluate(PROBE)["images"] if image["width"] == 0]


def test_page_is_whole_and_light_as_a_file_without_a_network(visit):
    seen = visit.page.evaluate(PROBE)
    assert not visit.wrong
    assert not seen["wrong"], "MathJax cannot read these"
    assert not seen["untypeset"]
    assert not without_images(visit.page)
    assert seen["mathematics"] >= len(visit.source.select(".math"))
    assert len(seen["images"]) >= len(visit.source.select("article img"))
    files = [Path(unquote(urlsplit(address).path)) for address in visit.fetched if address[:5] == "file:"]
    assert len(files) > len(seen["images"]) + 5
    assert sum(file.stat().st_size for file in files) < HEAVIEST


@pytest.fixture(scope="module", params=pages())
def served(request, browser: Browser, book: Path, site: str) -> Iterator[Visit]:
    """Open a page from a server, once for all tests that do not need its mathematics.

    Setting mathematics takes most of the time of a page, and the thousands of elements that it makes would
    each be looked at by axe-core, for nothing.
    """
    opened, wrong, fetched = open_page(browser, f"{site}/{request.param}.html", mathematics=False)
    yield Visit(opened, wrong, fetched, soup(book / f"{request.param}.html"))
    opened.close()


def test_page_is_whole_when_it_is_served(served):
    assert not served.wrong
    assert not without_images(served.page)


def test_mathematics_is_set_when_a_page_is_served(browser, book, site):
    opened, wrong, fetched = open_page(browser, f"{site}/notebooks/expansion.html")
    seen = opened.evaluate(PROBE)
    opened.close()
    assert not wrong
    assert any(MATHJAX in address for address in fetched)
    assert not seen["untypeset"]
    assert seen["mathematics"] >= len(soup(book / "notebooks/expansion.html").select(".math")) > 50


@pytest.mark.parametrize("page", ["index", "notebooks/sine", "book/gallery"])
def test_a_page_answers_soon(browser, site, page):
    """At best of three: other work on the machine is not its fault."""
    times = []
    for _ in range(3):
        opened = browser.new_page()
        opened.goto(f"{site}/{page}.html")
        times.append(opened.evaluate("performance.getEntriesByType('navigation')[0].domInteractive"))
        opened.close()
    assert min(times) < SLOWEST


def violations(page: Page, **options: object) -> list[str]:
    """Return what axe-core calls a serious or a critical violation of WCAG."""
    found = Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:200]}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def test_page_can_be_read_by_everybody_in_the_light_and_in_the_dark(served):
    light = violations(served.page)
    served.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    served.page.evaluate("Promise.allSettled(document.getAnimations().map(animation => animation.finished))")
    dark = violations(served.page, runOnly=["color-contrast"])
    assert (light, dark) == ([], [])


def test_page_reads_well_in_a_narrow_window(visit):
    visit.page.set_viewport_size({"width": NARROW, "height": 900})
    seen = visit.page.evaluate(CUT_OFF)
    visit.page.set_viewport_size({"width": WIDE, "height": 900})
    assert seen["page"] <= 0, "the page must not scroll sideways"
    assert not seen["equations"], "the left end of these equations cannot be reached"


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_search_finds_pages_without_a_network(browser, book, site, scheme):
    base = site if scheme == "http" else book.as_uri()
    opened, wrong, _ = open_page(browser, f"{base}/search.html?q=Reptile")
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
