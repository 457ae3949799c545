"""Figures can be taken away: the table holds what is drawn, and the same figure gives the same bytes."""

import base64
import io
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from companion import style
from companion.publishing import forms
from companion.publishing.table import COLUMNS, DIGITS, as_csv, table

X = np.array([1.0, 2.0, 4.0])
Y = np.array([0.1, 1 / 3, 2.5])
ROUNDED = 10.0 ** (1 - DIGITS)
"""What rounding a number for a CSV changes at most, relative to it."""


@pytest.fixture(autouse=True)
def without_a_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def everything() -> Figure:
    """Draw each kind of thing once."""
    canvas, (left, right) = style.figure(columns=2, sharey=True)
    left.errorbar(X, Y, yerr=(Y / 2, Y), color=style.BLUE, capsize=2, label="measured")
    left.plot(X, 2 * Y, color=style.ORANGE, label="line")
    left.plot(X, 3 * Y, color=style.ORANGE, linestyle="none", marker="s")
    left.fill_between(X, Y - 1, Y + 1, color=style.GREEN, alpha=0.2, label="_hidden")
    left.axvline(3.0, color=style.GRAY)
    left.annotate("here", (2.0, 1.0), xytext=(3, 3), textcoords="offset points")
    left.set(xlabel="steps $k$", ylabel="error\nof it", title="left")
    right.barh([0, 1], [0.5, 0.7], label="bars")
    right.set_yticks([0, 1], ["first", "second"])
    right.add_patch(Circle((0.5, 0.5), 0.25, fill=False, color=style.PURPLE))
    right.annotate("", (1.0, 1.0), (0.0, 0.5), arrowprops={"arrowstyle": "->"})
    return canvas


@pytest.fixture
def found() -> pd.DataFrame:
    return pd.read_csv(io.StringIO(as_csv(everything())))


def rows(found: pd.DataFrame, kind: str) -> pd.DataFrame:
    return found[found.drawn == kind]


def test_intervals_are_in_the_table_as_they_are_drawn(found):
    measured = rows(found, "interval")
    assert set(measured.series) == {"measured"}
    drawn = np.stack([X, Y, Y / 2, 2 * Y], axis=1)
    np.testing.assert_allclose(measured[["x", "y", "y_low", "y_high"]], drawn, rtol=ROUNDED)


def test_lines_points_and_bands_are_in_the_table_as_they_are_drawn(found):
    np.testing.assert_allclose(rows(found, "points")[["x", "y"]], np.stack([X, 3 * Y], 1), rtol=ROUNDED)
    band = rows(found, "band")[["x", "y_low", "y_high"]]
    np.testing.assert_allclose(band, np.stack([X, Y - 1, Y + 1], axis=1), rtol=ROUNDED)
    line, across = (group for _, group in rows(found, "line").groupby("curve"))
    np.testing.assert_allclose(line[["x", "y"]], np.stack([X, 2 * Y], axis=1), rtol=ROUNDED)
    assert across.x.tolist() == [3.0]
    assert across.y.isna().all()


def test_bars_circles_arrows_and_texts_are_in_the_table(found):
    assert rows(found, "bar")[["x_low", "x_high", "y"]].to_numpy().tolist() == [[0, 0.5, 0], [0, 0.7, 1]]
    assert rows(found, "circle")[["x", "y", "value"]].to_numpy().tolist() == [[0.5, 0.5, 0.25]]
    assert rows(found, "arrow")[["x", "y"]].to_numpy().tolist() == [[0.0, 0.5], [1.0, 1.0]]
    assert rows(found, "text")[["series", "x", "y"]].to_numpy().tolist() == [["here", 2.0, 1.0]]


def test_a_table_says_what_axes_ticks_and_panels_are_called(found):
    assert set(found.columns) <= set(COLUMNS)
    assert set(found[found.panel == 1].title) == {"left"}
    assert set(found[found.panel == 1].x_label) == {"steps $k$"}
    assert set(found.y_label) == {"error of it"}, "the right panel shares the axis"
    assert rows(found, "bar").y_name.tolist() == ["first", "second"]


def test_what_has_no_label_is_called_after_its_color(found):
    assert set(rows(found, "points").series) == {"line"}


def test_maps_and_contours_are_in_the_table_as_they_are_drawn():
    canvas, (left, right) = style.figure(columns=2)
    x, y = np.meshgrid(np.linspace(-1, 1, 41), np.linspace(0, 1, 31))
    left.pcolormesh(x[0], y[:, 0], x * y, shading="nearest")
    right.contour(x, y, x + y, levels=[0.25, 0.75])
    drawn = table(canvas)
    cells = rows(drawn, "map")
    np.testing.assert_allclose(cells.value, (x * y).ravel())
    np.testing.assert_allclose(cells.x, x.ravel(), atol=1e-12)
    contours = rows(drawn, "contour")
    np.testing.assert_allclose(contours.x + contours.y, contours.value, atol=1e-9)
    assert set(contours.value) == {0.25, 0.75}
    assert len(contours) < 20, "straight lines need few corners"


def test_a_figure_of_pictures_has_no_table():
    canvas, (axes,) = style.figure()
    axes.imshow(np.eye(3))
    assert as_csv(canvas) == ""
    assert set(forms.forms(canvas)) == {forms.SVG, forms.PDF}


def test_pictures_inside_an_svg_are_small_and_keep_their_grays():
    canvas, (axes,) = style.figure()
    axes.imshow(np.linspace(0, 1, 64 * 64).reshape(64, 64), cmap="Greys", interpolation="nearest")
    (inside,) = re.findall(r"data:image/png;base64,([\w+/=\s]+)", forms.svg(canvas))
    with Image.open(io.BytesIO(base64.b64decode(inside))) as image:
        assert image.mode == "P"
        assert len(set(np.asarray(image.convert("L")).ravel())) > 200


def test_the_same_figure_gives_the_same_bytes_without_a_date():
    first, second = (
        {**forms.forms(canvas), forms.PNG: forms.png(canvas)} for canvas in (everything(), everything())
    )
    assert first == second
    assert set(first) == {forms.SVG, forms.PDF, forms.PNG, forms.CSV}
    assert "<dc:date>" not in first[forms.SVG]
    assert b"CreationDate" not in forms.pdf(everything())


def test_a_figure_is_sharp_enough_for_print():
    with Image.open(io.BytesIO(forms.png(everything()))) as image:
        assert image.width > 0.9 * style.WIDTH * forms.DPI
        assert image.info["dpi"] == pytest.approx((forms.DPI, forms.DPI), rel=1e-3)
