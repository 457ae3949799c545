"""Figures 3 and 4 show what they are given, and what is averaged over seeds is."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from companion.inner_gradients import figure3
from companion.inner_gradients import figures as plot
from companion.inner_gradients import weights as figure3_weights
from companion.inner_gradients.summaries import (
    contrast,
    differences,
    final_accuracies,
    late_losses,
    learning_curves,
    stated_budget,
)
from companion.results import Result
from companion.style import note
from tests.tolerances import EXACT

LABELS = {curve.name: curve.label for curve in figure3.CURVES}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def facts(name: str) -> dict:
    """What a table says of a curve beside its name, if it is one of ours."""
    known = {curve.name: curve.facts for curve in (*figure3_weights.CURVES, *figure3.CURVES)}
    known["maml"] = figure3_weights.MAML_FACTS
    return {"lambda": np.nan, "kind": "", "k": 0, **known.get(name, {"curve": name})}


def accuracy(curves) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {**facts(curve), "seed": seed, "mode": mode, "accuracy": 80 + rng.normal()}
        for curve in curves for seed in (0, 1, 2) for mode in ("inductive", "transductive")
    )  # fmt: skip


def history(curves) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"curve": curve, "seed": seed, "iteration": 100 * (i + 1), "inductive": rng.uniform(20, 100)}
        for curve in curves for seed in (2, 0, 1) for i in range(6)
    )  # fmt: skip


def test_learning_curves_are_smoothed_within_a_seed_and_averaged_over_seeds():
    table = history(["a", "b"])
    smooth = learning_curves(table, window=2).set_index(["curve", "iteration"])
    raw = table.set_index(["curve", "seed", "iteration"]).inductive
    expected = np.mean([(raw["b", seed, 300] + raw["b", seed, 400]) / 2 for seed in (0, 1, 2)])
    assert smooth.loc[("b", 400), "mean"] == pytest.approx(expected, rel=EXACT)
    first = np.mean([raw["a", seed, 100] for seed in (0, 1, 2)])
    assert smooth.loc[("a", 100), "mean"] == pytest.approx(first, rel=EXACT)


def test_late_losses_are_medians_of_the_last_fifth_per_image():
    table = pd.DataFrame(
        {"curve": "a", "seed": seed, "iteration": i, "loss_before": 25.0 * i * (1 + seed), "loss_after": i}
        for seed in (0, 1, 2) for i in range(1, 11)
    )  # fmt: skip
    found = late_losses(table).loc["a"]
    assert found.loss_before == pytest.approx(np.median([9, 10, 18, 20, 27, 30]), rel=EXACT)
    assert found.loss_after == pytest.approx(9.5 / 25, rel=EXACT)
    table.loc[table.seed == 0, "loss_before"] = np.nan
    found = late_losses(table).loc["a"]
    assert found.loss_before == pytest.approx(np.median([18, 20, 27, 30, np.inf, np.inf]), rel=EXACT), (
        "diverged"
    )


def test_a_run_that_diverges_is_not_kept_alive_by_the_window():
    table = history(["a"])
    table.loc[(table.seed == 1) & (table.iteration >= 300), "inductive"] = np.nan
    lost = learning_curves(table, window=4).set_index("iteration").diverged
    assert list(lost) == [0, 0, 1, 1, 1, 1]


def test_a_learning_curve_ends_where_a_run_diverges():
    table = history(LABELS)
    table.loc[(table.curve == "4-sum") & (table.iteration >= 300) & (table.seed == 1), "inductive"] = np.nan
    axes, _ = plot.learning_curves(learning_curves(table), figure3.CURVES, zoom=60.0).axes
    ends = {line.get_label(): line.get_xdata()[-1] for line in axes.lines}
    assert (ends[LABELS["4-sum"]], ends[LABELS["4-last"]]) == (200, 600)


def test_a_mean_over_fewer_seeds_says_so():
    table = accuracy(LABELS)
    table.loc[(table.curve == "4-sum") & (table.seed == 1), "accuracy"] = np.nan
    (axes,) = plot.final_accuracies(final_accuracies(table), figure3.CURVES).axes
    assert [text.get_text() for text in axes.texts] == ["2 of 3 seeds"]


@pytest.mark.parametrize("summarize", [final_accuracies, lambda t, **m: differences(t, [("a", "b")], **m)])
def test_accuracies_are_those_without_transduction_unless_others_are_asked_for(summarize):
    table = accuracy(["a", "b"])
    pd.testing.assert_frame_equal(summarize(table), summarize(table, mode="inductive"))
    assert not summarize(table).equals(summarize(table, mode="transductive"))
    weights = {"a": 1, "b": -1}
    assert contrast(table, weights) == contrast(table, weights, "inductive")


def test_differences_are_paired_by_seed():
    table = accuracy(["a", "b"])
    row = differences(table, [("a", "b")]).iloc[0]
    cells = table[table["mode"] == "inductive"].pivot(index="seed", columns="curve", values="accuracy")
    gaps = cells.a - cells.b
    assert row["mean"] == pytest.approx(gaps.mean(), rel=EXACT)
    assert row.high - row["mean"] == pytest.approx(4.303 * gaps.std(ddof=1) / 3**0.5, rel=1e-3)
    assert (row["first"], row["second"]) == ("a", "b")


def test_a_contrast_of_two_curves_is_their_difference_and_of_four_a_difference_of_differences():
    table = accuracy(["a", "b", "c", "d"])
    row = differences(table, [("a", "b")]).iloc[0]
    assert contrast(table, {"a": 1, "b": -1}) == pytest.approx((row["mean"], row.low, row.high))
    cells = table[table["mode"] == "inductive"].pivot(index="seed", columns="curve", values="accuracy")
    gains = (cells.a - cells.b) - (cells.c - cells.d)
    found = contrast(table, {"a": 1, "b": -1, "c": -1, "d": 1})
    assert found.mean == pytest.approx(gains.mean(), rel=EXACT)
    assert found.high - found.mean == pytest.approx(4.303 * gains.std(ddof=1) / 3**0.5, rel=1e-3)


def test_figure_3_draws_every_curve_with_a_line_of_its_own():
    drawn = plot.learning_curves(learning_curves(history(LABELS)), figure3.CURVES, zoom=60.0)
    whole, near = drawn.axes
    for axes in (whole, near):
        assert [line.get_label() for line in axes.lines] == list(LABELS.values())
        looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
        assert len(looks) == len(LABELS) == 10
    assert near.get_ylim() == (60.0, 100.0)
    (legend,) = drawn.legends
    assert [text.get_text() for text in legend.get_texts() if text.get_text().strip()] == list(
        LABELS.values()
    )


def test_final_accuracies_stand_in_the_order_asked_for():
    summary = final_accuracies(accuracy(LABELS))
    (axes,) = plot.final_accuracies(summary, figure3.CURVES).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == list(LABELS.values())
    tops = axes.containers[0].lines[0]
    expected = summary.set_index("curve").loc["1-first", "mean"]
    assert (tops.get_xdata()[0], tops.get_ydata()[0]) == (pytest.approx(expected), len(LABELS) - 1)


def test_a_row_far_below_the_others_is_written_at_the_edge():
    table = accuracy(LABELS)
    table.loc[table.curve == "1-first", "accuracy"] = [30.0, 31.0, 32.0] * 2
    (axes,) = plot.final_accuracies(final_accuracies(table), figure3.CURVES, edge=70.0).axes
    assert len(axes.containers) == len(LABELS) - 1
    assert [text.get_text()[0] for text in axes.texts] == ["←"]
    assert axes.get_xlim()[0] > 70.0


def test_the_dial_shows_lambda_from_minus_one_to_two():
    names = [curve.name for curve in figure3_weights.CURVES] + [figure3_weights.MAML]
    summary = final_accuracies(accuracy(names))
    (axes,) = plot.dial(summary, {"maml": "MAML"}).axes
    assert list(axes.lines[0].get_xdata()) == list(figure3_weights.DIAL)
    assert axes.get_legend_handles_labels()[1] == [r"$c = (1 - \lambda, \lambda)$", "MAML"]


def test_a_figure_can_say_of_itself_how_long_its_runs_were():
    scoring = {"tasks": 500, "steps": 5, "batch": 25}
    unit = {"record": {"scoring": scoring}, "runs": [{"alpha": 0.003}]}
    ran = {"budget": {"iterations": 2_000}, "seeds": [0, 1, 2], "units": [unit]}
    text = stated_budget(Result({}, provenance={"config": ran}))
    assert text == (
        "2,000 outer iterations (paper: 40,000), 3 seeds; scored on 500 tasks each, "
        "after 5 steps of 25 images with α = 0.003"
    )
    measured = stated_budget(Result({}, provenance={"config": ran}), watched=4)
    assert measured.endswith("3 seeds; 4 tasks a measurement, after 5 steps of 25 images with α = 0.003")
    late = {**ran, "units": [{"record": {"tasks": 300}, "runs": unit["runs"]}]}
    assert stated_budget(Result({}, provenance={"config": late})).endswith("3 seeds; 300 tasks each")
    canvas = plot.final_accuracies(final_accuracies(accuracy(LABELS)), figure3.CURVES)
    note(canvas, text)
    assert canvas.get_supxlabel() == text
