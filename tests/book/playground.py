"""How the tests of the playgrounds reach their code: the mathematics alone, or the page of the built book."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from tests.book.sources import ROOT

FOLDER = ROOT / "book" / "_static" / "playground"


@contextmanager
def scripts(browser: Browser, *names: str) -> Iterator[Page]:
    """Open an empty page and load scripts of the playgrounds into it, without anything to draw on."""
    page = browser.new_page()
    for name in names:
        page.add_script_tag(path=FOLDER / name)
    yield page
    page.close()


@contextmanager
def opened(browser: Browser, book: Path, name: str, **options: Any) -> Iterator[Page]:
    """Open a page of the book from its file; nothing may be logged meanwhile, or asked of a network."""
    wrong: list[str] = []
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
    page = context.new_page()
    page.add_init_script("localStorage.setItem('mode', 'light')")
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if "file:" not in request.url else None)
    page.goto((book / "book" / f"{name}.html").as_uri())
    yield page
    context.close()
    assert not wrong


def middle(page: Page, selector: str) -> tuple[float, float]:
    """Return where the middle of an element is on the screen."""
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
