"""Figures of few-shot classification show what they are given."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from companion.fewshot import figures as plot
from companion.fewshot.table2 import PAPER, compare
from companion.glyphs.figures import contact_sheet
from companion.intervals import NORMAL
from metalib.data.classes import ClassPool
from metalib.tasks.episodes import sample_episodes
from tests.tolerances import EXACT


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def pool() -> ClassPool:
    images = np.random.default_rng(0).integers(0, 2, (12, 20, 28, 28, 1)).astype(np.uint8)
    return ClassPool("noise", images, train_classes=6)


def accuracy() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "algorithm": "reptile", "seed": seed, "ways": ways, "shots": shots, "classes": classes,
            "mode": mode, "tasks": 100, "accuracy": 90 + rng.normal(), "standard_error": 0.5,
        }
        for ways in (5, 20) for shots in (1, 5) for classes in ("train", "test")
        for mode in ("transductive", "inductive", "difference") for seed in (0, 1, 2)
    )  # fmt: skip


def test_comparison_keeps_seeds_and_tasks_apart():
    table = accuracy()
    compared = compare(table)
    assert len(compared) == len(PAPER) == 8
    row = compared.set_index(["ways", "shots", "mode"]).loc[(20, 1, "inductive")]
    chosen = table[
        (table.ways == 20) & (table.shots == 1) & (table["mode"] == "inductive") & (table.classes == "test")
    ]
    assert row["mean"] == pytest.approx(chosen.accuracy.mean(), rel=EXACT)
    assert row.over_tasks == pytest.approx(NORMAL * 0.5 / 3**0.5, rel=EXACT)
    assert (row.paper, row.paper_half_interval) == (88.14, 0.15)
    spread = chosen.accuracy.std(ddof=1) / 3**0.5
    assert row.high - row["mean"] == pytest.approx(4.303 * spread, rel=1e-3)


def test_cells_show_paper_and_measured_values():
    compared = compare(accuracy())
    (axes,) = plot.cells(compared).axes
    assert list(axes.lines[0].get_xdata()) == list(compared.paper)
    assert axes.get_yticklabels()[0].get_text() == "5-way 1-shot, transductive"


def test_contact_sheet_shows_every_image_of_the_chosen_classes():
    (axes,) = contact_sheet(pool(), [3, 1], ["c", "a"]).axes
    shown = axes.images[0].get_array()
    assert shown.shape == (2 * 28, 20 * 28)
    assert (shown[28:56, :28] == 1 - pool().images[1, 0, :, :, 0]).all()


def test_task_shows_training_images_class_by_class_and_what_is_held_out():
    episodes = sample_episodes(pool(), seed=0, tasks=2, shots=3)
    left, right = plot.task(pool(), episodes, 1).axes
    assert left.images[0].get_array().shape == (5 * 28, 3 * 28)
    expected = 1 - pool().gather(plot._torch(episodes.query[1]))[..., 0].numpy()
    assert (right.images[0].get_array()[28:56] == expected[1]).all()


def test_differences_methods_and_history_draw_one_mark_per_row():
    summary = compare(accuracy())
    (axes,) = plot.differences(summary, [str(i) for i in range(8)], "points").axes
    assert len(axes.get_yticklabels()) == 8
    by_method = summary[summary.ways == 5].assign(algorithm="reptile")
    panels = plot.methods({f"{s}-shot": by_method[by_method.shots == s] for s in (1, 5)}).axes
    assert [panel.get_title() for panel in panels] == ["1-shot", "5-shot"]
    losses = pd.DataFrame({"seed": [0, 0], "iteration": [100, 200], "loss_before": 17.0, "loss_after": 5.0})
    (axes,) = plot.history(losses).axes
    assert len(axes.lines) == 2
