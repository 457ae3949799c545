"""From the first page, what readers come for is at most two clicks away."""

from collections.abc import Iterator

import paper_claims
import pytest
from playwright.sync_api import Browser, Page

from tests.book.sources import ROOT

pytestmark = pytest.mark.xdist_group("book")


@pytest.fixture
def first_page(browser: Browser, site: str) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.goto(f"{site}/index.html")
    yield opened
    opened.close()


def follow(page: Page, text: str) -> None:
    """Click a link of the text by its words, and wait until the page that it leads to is there."""
    page.locator("article").get_by_role("link", name=text, exact=True).first.click()
    page.wait_for_load_state("load")


def test_what_reptile_is(first_page):
    follow(first_page, "What Reptile is")
    assert first_page.url.endswith("problem.html#what-reptile-is")
    assert first_page.locator("#reptile-serial").is_visible()
    assert "{math}" not in first_page.locator("#what-reptile-is").inner_text()


def test_how_to_run_with_another_seed(first_page):
    follow(first_page, "How to run a page with another seed")
    assert first_page.url.endswith("reproduce.html#another-seed")
    commands = first_page.locator("#another-seed pre, #another-seed ~ div pre").all_text_contents()
    assert any("make notebook" in command and "-p seed 3" in command for command in commands)


def test_the_verdict_on_any_claim(first_page):
    follow(first_page, "Every claim with its verdict")
    for claim in paper_claims.entries(ROOT):
        box = first_page.locator(f"[id='claim-{claim.name.lower()}']")
        assert box.locator(".verdict").first.inner_text() == claim.verdict, claim.name


def test_what_the_paper_does_not_say(first_page):
    follow(first_page, "what we found that the paper does not say")
    assert first_page.locator("article .evidence .verdict").count() >= 8


def test_the_bar_of_verdicts_is_on_the_first_screen(first_page):
    place = first_page.locator(".verdict-bar").bounding_box()
    assert place is not None
    assert place["y"] + place["height"] < 900


def test_figure_3_with_its_data_and_its_citation(first_page):
    follow(first_page, "Figure 3 of the paper, redrawn")
    assert first_page.url.endswith("#fig-inner-curves")
    assert first_page.locator("#fig-inner-curves img").first.is_visible()
    line = first_page.locator("#take-fig-inner-curves")
    with first_page.expect_download() as download:
        line.get_by_role("link", name="CSV").click()
    assert download.value.suggested_filename == "fig-inner-curves.csv"
    assert not line.get_by_text("@misc{").is_visible()
    line.get_by_text("cite", exact=True).click()
    assert line.get_by_text("@misc{").first.is_visible()


def test_pages_for_study_are_one_click_away(first_page):
    for page in ("reading_path", "exercises", "questions", "pitfalls", "glossary", "slides", "launch"):
        assert first_page.locator(f"article a[href$='{page}.html']").count(), page
