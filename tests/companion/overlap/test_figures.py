"""Figures of section 6.3 show what they are given."""

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from companion.overlap import figures as plot
from companion.overlap.settings import METHODS


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_sweep_marks_where_minibatches_overlap():
    labels = {method.name: method.label for method in METHODS}
    summary = pd.DataFrame(
        {"method": name, "value": value, "mean": 90.0, "low": 89.0, "high": 91.0, "seeds": 3, "diverged": 0}
        for name in labels for value in (8, 2, 4)
    )  # fmt: skip
    (axes,) = plot.sweep(summary, labels, "inner iterations $k$", overlap=4.5).axes
    assert list(axes.lines[0].get_xdata()) == [2, 4, 8]
    assert [text.get_text() for text in axes.texts] == ["minibatches overlap →"]
    (bare,) = plot.sweep(summary, labels, "inner iterations $k$").axes
    assert not bare.texts


def test_a_method_looks_the_same_in_a_sweep_that_lacks_another():
    labels = {method.name: method.label for method in METHODS}
    summary = pd.DataFrame(
        {"method": name, "value": value, "mean": 90.0, "low": 89.0, "high": 91.0, "seeds": 3, "diverged": 0}
        for name in labels for value in (0.1, 4.0)
    )  # fmt: skip

    def look(table):
        (axes,) = plot.sweep(table, labels, "outer step size", scale="log").axes
        assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "4"]
        return {c.get_label(): (c.lines[0].get_color(), c.lines[0].get_marker()) for c in axes.containers}

    whole, lacking = look(summary), look(summary[summary.method != METHODS[2].name])
    assert list(lacking) == [method.label for i, method in enumerate(METHODS) if i != 2]
    assert lacking.items() <= whole.items()


def test_late_gradients_have_a_row_per_measure_and_a_column_per_initialization():
    summary = pd.DataFrame(
        {"initialization": start, "images": images, "step": step, "mean": step, "low": 0.0, "high": 9.0}
        for start in ("random", "trained") for images in ("fresh", "seen") for step in (6, 4, 5)
    )  # fmt: skip
    titles = {"random": "random weights", "trained": "trained"}
    panels = plot.late_gradients({"fall": summary, "length": summary}, titles).axes
    assert [axes.get_title() for axes in panels] == ["random weights", "trained", "", ""]
    assert [axes.get_ylabel() for axes in panels] == ["fall", "", "length", ""]
    for axes in panels:
        assert axes.get_legend_handles_labels()[1] == ["fresh images", "seen images"]
        assert list(axes.lines[0].get_ydata()) == [4, 5, 6]
