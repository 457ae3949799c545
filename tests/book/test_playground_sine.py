"""The sine waves in the browser are adapted as metalib adapts them, from the weights of the stored run."""

import re

import numpy as np
import pytest
import torch

from companion.playground.weights import SEED, SINE, SINE_METHODS, SINE_UNIT, script, sine_weights
from companion.results import load_result
from companion.sine.scores import initialization
from metalib.derivatives import MinibatchLoss, mean_squared_error
from metalib.inner import inner_loop
from metalib.models.mlp import mlp
from metalib.optimizers import SGD
from metalib.tasks.sine import grid
from tests.book.playground import FOLDER, middle, opened, scripts
from tests.book.sources import ROOT
from tests.tolerances import FLOAT32, ROUNDOFF

pytestmark = pytest.mark.xdist_group("book")

PAGE = "play_sine"
X = [-4.2, -2.9, -1.1, 0.8, 2.2]
ADAPT = """([method, x, y, alpha, steps]) => {
  const { adapt, layersOf, predict, grid } = sineAdaptation;
  const start = layersOf(playground.float32(sineWeights.weights[method]), sineWeights.shapes);
  return adapt(start, x, y, alpha, steps).map((layers) => predict(layers, grid));
}"""


def wave(x, amplitude=3.0, phase=1.2):
    return amplitude * np.sin(np.asarray(x) + phase)


@pytest.fixture(scope="module")
def mathematics(browser):
    with scripts(browser, "common.js", "sine_weights.js", "sine_math.js") as page:
        yield page


@pytest.fixture
def page(browser, book):
    with opened(browser, book, PAGE, reduced_motion="reduce") as page:
        yield page


def test_weights_of_the_page_are_those_of_the_stored_run():
    assert (FOLDER / "sine_weights.js").read_text() == script("sineWeights", sine_weights(ROOT / "results"))


@pytest.mark.parametrize("method", SINE_METHODS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, ROUNDOFF), (torch.float32, FLOAT32)])
def test_curves_are_those_of_the_library_after_every_step(mathematics, method, dtype, tolerance):
    """Double precision: the same formulas. Single precision: what the stored runs were scored with."""
    steps = 32
    stored = initialization(load_result(ROOT / "results" / SINE), SINE_UNIT, method, SEED)
    phi = {name: value.to(dtype) for name, value in stored.items()}
    x, y, everywhere = (torch.tensor(np.asarray(v), dtype=dtype)[None, :, None] for v in (X, wave(X), grid()))
    loss = MinibatchLoss(mlp, mean_squared_error, x, y)
    alpha = mathematics.evaluate("sineWeights.alpha")
    trajectory = inner_loop([loss] * steps, phi, SGD(alpha))
    expected = torch.stack([mlp(phi, everywhere)[0, :, 0] for phi in trajectory.phi])
    seen = mathematics.evaluate(ADAPT, [method, X, wave(X).tolist(), alpha, steps])
    size = expected.abs().max().item()
    torch.testing.assert_close(
        torch.tensor(seen, dtype=torch.float64), expected.double(), rtol=0, atol=tolerance * size
    )


def errors(page, step: int) -> dict[str, tuple[str, str]]:
    """Go to a step and return every learner's error at the points and on the wave, as shown."""
    page.fill('input[name="step"]', str(step))
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    rows = [page.locator(f"#error-{name} td").all_text_contents() for name in SINE_METHODS]
    return dict(zip(SINE_METHODS, rows, strict=True))


def test_numbers_in_the_text_are_those_that_the_page_shows(page):
    text = " ".join((ROOT / "book" / f"{PAGE}.md").read_text().split())

    def on_wave(step):
        return {name: f"{float(shown[1]):.2f}" for name, shown in errors(page, step).items()}

    first, one, ten = (on_wave(step) for step in (0, 1, 10))
    assert f"their errors on it lie between {min(first.values())} and {max(first.values())}" in text
    assert f"After one step Reptile's is {one['reptile']}, and after ten {ten['reptile']}" in text
    assert f"Joint training still has {ten['joint']} then, and random weights {ten['random']}" in text
    page.click("#left")
    left = on_wave(10)
    assert (
        f"Reptile's error on the whole wave is {left['reptile']}, MAML's {left['maml']}, "
        f"that of joint training {left['joint']}" in text
    )
    page.click("#again")
    page.fill('input[name="alpha"]', "0.06")
    late = errors(page, 10)
    assert late["reptile"] == ["very large", "very large"]
    for name in ("joint", "random"):
        assert float(late[name][0]) < float(errors(page, 0)[name][0])


def place(handle) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+", handle.get_attribute("aria-valuetext"))]


def handles(page) -> int:
    return page.locator("#points .handle").count()


def settled(page):
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_points_are_added_moved_and_removed_by_mouse_and_keyboard(page):
    page.locator("#sheet").scroll_into_view_if_needed()
    x, y = middle(page, "#sheet")
    page.mouse.click(x, y)
    settled(page)
    assert handles(page) == len(X) + 1
    last = page.locator("#points .handle").last
    assert place(last) == pytest.approx([0.0, wave(0.0)], abs=0.03)  # it lies on the wave
    last.focus()
    page.keyboard.press("Shift+ArrowLeft")
    settled(page)
    assert place(last) == pytest.approx([-1.0, wave(-1.0)], abs=0.03)
    page.uncheck('input[name="snap"]')
    last.focus()
    page.keyboard.press("ArrowUp")
    settled(page)
    assert place(last) == pytest.approx([-1.0, wave(-1.0) + 0.1], abs=0.03)
    page.keyboard.press("Delete")
    settled(page)
    assert handles(page) == len(X)
    page.click("#none")
    settled(page)
    assert handles(page) == 0
    page.click("#again")
    settled(page)
    assert handles(page) == len(X)
    assert page.is_checked('input[name="snap"]')


def test_steps_are_played(page):
    page.click("#play")
    page.wait_for_function("document.getElementById('sine-status').textContent.startsWith('After 32')")
    assert page.input_value('input[name="step"]') == "32"


def test_a_tap_on_a_telephone_adds_a_point(browser, book):
    with opened(browser, book, PAGE, viewport={"width": 360, "height": 740}, has_touch=True) as page:
        page.locator("#sheet").scroll_into_view_if_needed()
        page.touchscreen.tap(*middle(page, "#sheet"))
        settled(page)
        assert handles(page) == len(X) + 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
