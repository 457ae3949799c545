"""The interactive figure computes what the library computes, and answers to mouse and keyboard."""

import pytest
import torch
from playwright.sync_api import Browser, Page

from companion.manifolds.distance import closest_to_all, descend_distance, iterate
from companion.manifolds.limits import two_curves
from tests.book.sources import ROOT

pytestmark = pytest.mark.xdist_group("book")

FIGURE = ROOT / "book" / "_static" / "manifolds.html"
START = (-2.5, 2.8)
ALPHA = 0.3
EXACT = 21
"""The last position of the slider for k stands for the exact projection."""


@pytest.fixture
def page(browser: Browser):
    wrong: list[str] = []
    page = browser.new_page(viewport={"width": 760, "height": 520})
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if "file:" not in request.url else None)
    page.goto(FIGURE.as_uri())
    yield page
    page.close()
    assert not wrong


def sampled(page: Page) -> torch.Tensor:
    """Return the path that the figure shows."""
    pieces = page.locator("#path").get_attribute("d")[1:].split("L")
    return torch.tensor([[float(x) for x in piece.split()] for piece in pieces], dtype=torch.float64)


def choose(page: Page, **values: float) -> None:
    for name, value in values.items():
        page.locator(f"#{name}").fill(str(value))


@pytest.mark.parametrize("k", [1, 3, EXACT])
@pytest.mark.parametrize("anneal", [True, False])
def test_figure_draws_the_path_that_the_library_computes(page, k, anneal):
    epsilon, steps = 0.45, 17
    choose(page, epsilon=epsilon, steps=steps, k=k)
    page.locator("#anneal").set_checked(anneal)
    solve = [
        curve.project if k == EXACT else (lambda phi, c=curve: descend_distance(phi, c, ALPHA, k))
        for curve in two_curves()
    ]
    epsilons = [epsilon * (1 - i / steps if anneal else 1) for i in range(steps)]
    start = torch.tensor([START], dtype=torch.float64)
    path = iterate(start, solve, [i % 2 for i in range(steps)], epsilons)[:, 0]
    torch.testing.assert_close(sampled(page), path, rtol=1e-9, atol=1e-9)


def test_cross_is_the_least_mean_squared_distance(page):
    best = closest_to_all(two_curves(), torch.tensor([START], dtype=torch.float64))[0]
    choose(page, epsilon=1, steps=80)
    page.locator("#anneal").set_checked(True)
    end = sampled(page)[-1]
    assert float(page.locator("#gap").text_content()) == pytest.approx((end - best).norm().item(), abs=1e-3)
    assert page.locator("#distance").text_content() == page.locator("#least").text_content()


def test_start_can_be_dragged_and_moved_with_the_keyboard(page):
    box = page.locator("#plane").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.up()
    assert sampled(page)[0].abs().max() < 0.05
    page.locator("#start").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert (sampled(page)[0] - 0.1).abs().max() < 0.05
    assert page.locator("#start").get_attribute("aria-valuenow") == "0.1"
    thick = page.evaluate("parseFloat(getComputedStyle(document.getElementById('start')).strokeWidth)")
    assert thick < 0.3, "in units of the plane: a focused square does not cover what it stands on"
    page.mouse.click(box["x"] + 9, box["y"] + 9, button="right")
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    assert (sampled(page)[0] - 0.1).abs().max() < 0.05, "only the first button drags"
    page.locator("#again").click()
    assert tuple(sampled(page)[0].tolist()) == START
