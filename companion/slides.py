"""Key figures for slides, 16:9 with large type, drawn from stored results alone.

    python -m companion.slides FOLDER

writes SVG, PDF and PNG (1920 × 1080) of every slide. A slide is the figure of a page, on paper of a few
inches, so that its type is large on a screen. The same input gives the same bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from companion.fewshot import claims as of_fewshot
from companion.fewshot import figures as fewshot
from companion.inner_gradients import claims as of_gradients
from companion.inner_gradients import figure3, summaries
from companion.inner_gradients import figures as gradients
from companion.inner_gradients.settings import WATCHED_TASKS
from companion.intervals import counted, over_seeds
from companion.overlap import claims as of_overlap
from companion.overlap import figures as overlap
from companion.overlap.settings import METHODS
from companion.overlap.summaries import summary
from companion.questions import figures as questions
from companion.results import Result, load_result
from companion.sine import figures as sine
from companion.sine.scores import EVALUATION_SEED, initialization
from companion.sine.summaries import by_inner_steps, by_step, scored, zero_function_mean
from companion.style import note
from metalib.errors import MetalibError
from metalib.evaluation.regression import predictions
from metalib.tasks.sine import Sine, sample_support

SIZE = (6.4, 3.6)
"""Inches, 16:9. Type of 9 points is then 38 pixels high on a screen of 1080 lines."""
PIXELS = 1920
FORMS = ("svg", "pdf", "png")
BUDGET = "laptop"


@dataclass(frozen=True)
class Slide:
    """One figure for slides.

    Attributes:
        name: what its files are called.
        title: what it shows, in a sentence.
        draw: maps the folder of results to the figure.
        page: the figure's anchor in the book.
    """

    name: str
    title: str
    draw: Callable[[Path], Figure]
    page: str


def _budget(result: Result) -> str:
    """Return how long the runs of a result are, for the corner of a slide."""
    ran = result.provenance["config"]
    return (
        f"{ran['budget']['iterations']:,} outer iterations, {counted(ran['seeds'])}, mean and 95 % interval"
    )


def _curves(results: Path) -> Figure:
    stored, after = load_result(results / "sine-figure-1" / "paper"), (0, 1, 10, 32)
    support, model = sample_support(EVALUATION_SEED, 8), Sine().model
    methods = ("random", "maml", "fomaml", "reptile", "joint")
    pictured = {
        method: predictions(
            model, initialization(stored, "tanh-interpolate", method, 0), support, 0.02, after
        )[0, 5]
        for method in methods
    }
    return sine.learned_curves(pictured, after, support, task=5)


def _adaptation(results: Path) -> Figure:
    stored = load_result(results / "sine-figure-1" / "paper")
    steps = by_step(stored)
    shown = steps[steps.unit.isin(("tanh-interpolate", "tanh-adam"))]
    canvas = sine.adaptation(shown, zero_function_mean(scored(stored, "whole")))
    note(canvas, _budget(stored))
    return canvas


def _inner_steps(results: Path) -> Figure:
    stored = load_result(results / "sine-inner-steps" / "paper")
    canvas = sine.inner_steps(by_inner_steps(stored), zero_function_mean(scored(stored, "whole")))
    note(canvas, _budget(stored))
    return canvas


def _equal_k(results: Path) -> Figure:
    stored = load_result(results / "sine-equal-k" / BUDGET)
    whole = scored(stored, "whole")
    chosen = whole[(whole.step == 10) & (whole.algorithm != "random")]
    canvas = questions.equal_k(over_seeds(chosen, ["algorithm", "steps"]), zero_function_mean(chosen))
    note(canvas, _budget(stored))
    return canvas


def _table2(results: Path) -> Figure:
    evidence = of_fewshot.Evidence.load(results, BUDGET)
    canvas = fewshot.cells(evidence.compared)
    ran = evidence.table2.provenance["config"]["budget"]
    few, many = ran["iterations"], ran["iterations_20_way"]
    note(canvas, f"outer iterations: 5 ways {few:,} (paper 100,000), 20 ways {many:,} (paper 200,000)")
    return canvas


def _learning_curves(results: Path) -> Figure:
    stored = of_gradients.Evidence.load(results, BUDGET).figure3
    curves = summaries.learning_curves(stored.tables["history"], window=20)
    canvas = gradients.learning_curves(curves, figure3.CURVES, zoom=80)
    note(canvas, summaries.stated_budget(stored, WATCHED_TASKS))
    return canvas


def _final(results: Path) -> Figure:
    stored = of_gradients.Evidence.load(results, BUDGET).figure3
    final = summaries.final_accuracies(stored.tables["accuracy"])
    canvas = gradients.final_accuracies(final, figure3.CURVES, edge=80)
    note(canvas, summaries.stated_budget(stored))
    return canvas


def _overlap(results: Path) -> Figure:
    stored = of_overlap.Evidence.load(results, BUDGET).by_steps
    labels = {method.name: method.label for method in METHODS}
    canvas = overlap.sweep(summary(stored.tables["accuracy"]), labels, "inner iterations $k$", overlap=4.5)
    note(canvas, summaries.stated_budget(stored))
    return canvas


SLIDES = (
    Slide("sine-curves", "One task: only a meta-learned start follows the wave", _curves, "fig-sine-curves"),
    Slide("sine-adaptation", "Error on unseen sine waves while adapting", _adaptation, "fig-sine-adaptation"),
    Slide("sine-inner-steps", "One inner step learns nothing, two do", _inner_steps, "fig-sine-inner-steps"),
    Slide("equal-k", "Every method with the same number of inner steps", _equal_k, "fig-questions-equal-k"),
    Slide("table2", "Omniglot: the paper's accuracies and ours", _table2, "fig-fewshot-table2"),
    Slide(
        "learning-curves",
        "Which inner gradients the update uses: learning curves",
        _learning_curves,
        "fig-inner-curves",
    ),
    Slide(
        "final-accuracies", "Which inner gradients the update uses: where it ends", _final, "fig-inner-final"
    ),
    Slide("overlap", "FOMAML fails once its last minibatch has been seen", _overlap, "fig-overlap-4a"),
)


def render(slide: Slide, results: Path, folder: Path) -> list[Path]:
    """Draw a slide and write all its forms.

    Args:
        slide: one of `SLIDES`.
        results: the folder of stored results.
        folder: where the files go.

    Raises:
        StoreError: if a result is missing or damaged; then nothing is written.
    """
    canvas = slide.draw(results)
    # Neither a date nor a version in the files, and names inside an SVG that do not change from run to run.
    nothing = {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Software": None},
    }
    with mpl.rc_context({"svg.hashsalt": slide.name, "svg.fonttype": "path"}):
        canvas.set_size_inches(*SIZE)
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{slide.name}.{form}" for form in FORMS]
        for file in files:
            canvas.savefig(file, dpi=PIXELS / SIZE[0], metadata=nothing[file.suffix[1:]])
    plt.close(canvas)
    return files


def main(arguments: list[str]) -> int:
    """Write all slides into the folder that is named."""
    if len(arguments) != 1:
        print("usage: python -m companion.slides FOLDER", file=sys.stderr)
        return 2
    mpl.use("agg")
    for slide in SLIDES:
        try:
            files = render(slide, Path("results"), Path(arguments[0]))
        except MetalibError as error:
            print(error, file=sys.stderr)
            return 2
        print(", ".join(str(file) for file in files))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
