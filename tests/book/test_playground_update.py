"""The meta-update in the browser is metalib's, and its page says what comes out and answers to every hand."""

import math
import re

import pytest
import torch

from companion.implicit.meta_gradient import (
    ProximalLoss,
    expand_implicit,
    implicit_gradient,
    minimize_proximal,
)
from metalib.derivatives import MinibatchLoss, mean_squared_error
from metalib.methods import METHODS
from metalib.optimizers import SGD
from metalib.params import repeat
from metalib.theory.expectations import Pool, avg_grad, avg_grad_inner, expectation
from tests.book.playground import middle, opened, scripts
from tests.book.sources import ROOT
from tests.tolerances import ROUNDOFF

pytestmark = pytest.mark.xdist_group("book")

PAGE = "play_update"
TASKS = [[2.2, -1.3], [2.8, 0.1], [2.2, 1.3]]
PHI = [0.9, -1.2]
LAMBDA = 9.0


@pytest.fixture(scope="module")
def mathematics(browser):
    with scripts(browser, "update_math.js") as page:
        yield page


@pytest.fixture
def page(browser, book):
    with opened(browser, book, PAGE) as page:
        yield page


@pytest.fixture(scope="module")
def pool(mathematics) -> Pool:
    """The playground's tasks and minibatches as the library holds them: the model is a sin(x + b)."""

    def wave(params, x):
        return params["phi"][:, :1, None] * torch.sin(x + params["phi"][:, 1:, None])

    minibatches = torch.tensor(mathematics.evaluate("metaUpdate.MINIBATCHES"), dtype=torch.float64)
    x = minibatches.repeat(len(TASKS), 1).unsqueeze(-1)
    tasks = torch.tensor(TASKS, dtype=torch.float64).repeat_interleave(len(minibatches), 0)
    return Pool(
        MinibatchLoss(wave, mean_squared_error, x, wave({"phi": tasks}, x)), len(TASKS), len(minibatches)
    )


@pytest.fixture
def phi():
    return {"phi": torch.tensor([PHI], dtype=torch.float64)}


def same(computed, expected):
    torch.testing.assert_close(
        torch.tensor(computed, dtype=torch.float64), expected["phi"][0], rtol=ROUNDOFF, atol=ROUNDOFF
    )


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_update_and_its_parts_are_those_of_the_library(mathematics, pool, phi, name, k):
    alpha, epsilon = 0.12, 0.7
    settings = {"k": k, "alpha": alpha, "epsilon": epsilon, "lambda": LAMBDA}
    seen = mathematics.evaluate("(a) => metaUpdate.update(...a)", [name, TASKS, PHI, settings])
    method, step = METHODS[name], -epsilon * alpha
    g = expectation(method.gradient, pool, phi, alpha, pool.ordered_draws(k))
    share = method.coefficients(k, alpha)
    same(seen["whole"], {"phi": step * g["phi"]})
    same(seen["avgGrad"], {"phi": step * share.avg_grad * avg_grad(pool, phi)["phi"]})
    same(seen["avgGradInner"], {"phi": step * share.avg_grad_inner * avg_grad_inner(pool, phi)["phi"]})


def test_implicit_update_and_its_parts_are_those_of_the_companion(mathematics, pool, phi):
    alpha, epsilon = 0.12, 0.7
    settings = {"k": 3, "alpha": alpha, "epsilon": epsilon, "lambda": LAMBDA}
    seen = mathematics.evaluate("(a) => metaUpdate.update(...a)", ["imaml", TASKS, PHI, settings])
    draws = pool.ordered_draws(2)
    loss, held_out = pool.losses_for(draws)
    start = repeat(phi, len(draws))
    found = minimize_proximal(ProximalLoss(loss, start, LAMBDA), SGD(0.07), limit=5_000, tolerance=1e-13)
    g = implicit_gradient(loss, held_out, found.phi, LAMBDA, tolerance=1e-13).x
    same(seen["whole"], {"phi": -epsilon * alpha * g["phi"].mean(0, keepdim=True)})
    expansion = expand_implicit(loss, held_out, start)
    parts = torch.tensor([seen["avgGrad"], seen["avgGradInner"]], dtype=torch.float64).sum(0)
    same(parts.tolist(), {"phi": -epsilon * alpha * expansion.at(1 / LAMBDA)["phi"].mean(0, keepdim=True)})


def settle(page, method: str) -> list[str]:
    """Run a method until it stops, and return what the table of runs says of it."""
    page.check(f'input[name="method"][value="{method}"]')
    runs = page.locator("#runs tbody tr")
    before = runs.count()
    page.click("#run")
    page.wait_for_function("n => document.querySelectorAll('#runs tbody tr').length > n", arg=before)
    return runs.first.locator("td").all_text_contents()


def test_numbers_in_the_text_are_those_of_the_runs(browser, book):
    text = " ".join((ROOT / "book" / f"{PAGE}.md").read_text().split())
    with opened(browser, book, PAGE, reduced_motion="reduce") as page:
        joint, reptile, fomaml, maml = (settle(page, name) for name in ("joint", "reptile", "fomaml", "maml"))
        assert settle(page, "imaml")[1] == "λ = 10"

    def two(number):
        return f"{float(number):.2f}"

    assert (
        f"stops at amplitude {two(joint[6])}. Its loss there is the least possible, {two(joint[4])}" in text
    )
    assert f"after five inner steps it is {two(joint[5])}" in text
    assert (
        f"stops at amplitude {two(reptile[6])}: its loss before any inner step is higher, {two(reptile[4])}"
        in text
    )
    assert f"after five inner steps much lower, {two(reptile[5])}" in text
    amplitudes = ", ".join(two(row[6]) for row in (reptile, fomaml))
    assert f"they stop at amplitudes {amplitudes} and {two(maml[6])}" in text


def place(page, handle: str) -> list[float]:
    text = page.locator(f"#{handle}").get_attribute("aria-valuetext")
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text)]


def test_handles_can_be_dragged_and_moved_with_the_keyboard(page):
    assert place(page, "start") == [1.2, -0.8]
    page.locator("#plane").scroll_into_view_if_needed()
    page.mouse.move(*middle(page, "#start .mark"))
    page.mouse.down()
    page.mouse.move(*middle(page, "#plane"))
    page.mouse.up()
    assert place(page, "start") == pytest.approx([2.0, 0.0], abs=0.02)
    page.focus("#task-1")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowRight")
    assert place(page, "task-1") == pytest.approx([2.82, 0.3])
    page.click("#once")
    assert page.text_content("#updates") == "1"
    page.click("#reset-all")
    assert place(page, "start") == [1.2, -0.8]
    assert place(page, "task-1") == TASKS[1]


def test_a_tap_on_a_telephone_places_the_start(browser, book):
    with opened(browser, book, PAGE, viewport={"width": 360, "height": 740}, has_touch=True) as page:
        page.locator("#plane").scroll_into_view_if_needed()
        page.touchscreen.tap(*middle(page, "#plane"))
        assert place(page, "start") == pytest.approx([2.0, 0.0], abs=0.02)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_with_one_inner_step_the_methods_make_one_update_and_nothing_is_left_out(page):
    page.fill('input[name="k"]', "1")
    seen = set()
    for method in METHODS:
        page.check(f'input[name="method"][value="{method}"]')
        seen.add(page.text_content("#row-whole"))
        assert page.locator("#row-rest td").all_text_contents() == ["0.000", "0.000"]
    assert len(seen) == 1


def test_for_large_steps_the_two_parts_leave_out_more_than_the_update(page):
    page.fill('input[name="k"]', "8")
    page.fill('input[name="alpha"]', "0.2")
    whole, rest = (
        [float(cell.replace("−", "-")) for cell in page.locator(f"#row-{name} td").all_text_contents()]
        for name in ("whole", "rest")
    )
    assert math.hypot(*rest) > math.hypot(*whole)
