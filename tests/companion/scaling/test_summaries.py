"""What is made of the stored measurements."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from companion.scaling import figures
from companion.scaling.summaries import LARGE, LINKS, WORKERS, Measured, extrapolated
from metalib.errors import StoreError

ROWS = Path(__file__).parents[3] / "benchmarks" / "ranks.csv"


@pytest.fixture(scope="module")
def measured() -> Measured:
    return Measured.load(ROWS)


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(StoreError, match=r"nothing.csv is missing; run python benchmarks/ranks.py"):
        Measured.load(tmp_path / "nothing.csv")


def test_every_part_was_measured_three_times(measured):
    counts = measured.rows.groupby("part").repeat.nunique()
    assert counts.to_dict() == dict.fromkeys(
        ["collectives", "compression", "links", "overlap", "throughput"], 3
    )


def test_a_speed_up_is_paired_by_repeat():
    rows = [
        {"part": "throughput", "repeat": r, "ranks": ranks, "setting": setting, "seconds": seconds * (1 + r)}
        for r in (0, 1, 2)
        for ranks, setting, seconds in ((1, "one process", 10.0), (1, "ranks", 11.0), (2, "ranks", 5.0))
    ]
    found = Measured(pd.DataFrame(rows[::-1])).speed_up(2)
    assert found == pytest.approx((2.0, 2.0, 2.0))


def test_the_model_predicts_what_was_measured_behind_a_delay(measured):
    """Within a tenth; it is fitted to the two rows without a delay."""
    links = measured.links
    fitted = links[links.delay == 0]
    np.testing.assert_allclose(fitted.predicted, fitted.seconds)
    np.testing.assert_allclose(links.predicted, links.seconds, rtol=0.1)
    assert len(links) == 6


def test_beyond_this_machine_slower_links_need_more_local_steps_and_smaller_messages_fewer():
    table = extrapolated()
    assert table.k.is_monotonic_increasing
    assert (table.k_int8 < table.k).all()
    for row, link in zip(table.itertuples(), LINKS.values(), strict=True):
        assert LARGE.efficiency(link, WORKERS, row.k_overlapped, overlapped=True) >= 0.9


def test_messages_of_eight_bits_are_a_quarter_and_hardly_wrong_and_whole_ones_not_at_all(measured):
    table = measured.compressed.set_index("setting")
    assert table.error["float32"] == 0
    assert table.error["int8"] < 0.02 < table.error["largest 10 %"]
    assert table.bytes["int8"] < 0.3
    assert table.loss["float32"].mean == 0
    assert table.loss["largest 1 %"].low > table.loss["largest 1 %, feedback"].high > 0


def test_the_figure_shows_both_numbers_of_local_steps_and_all_links(measured):
    canvas = figures.local_steps(measured.links)
    left, right = canvas.axes
    assert len(left.get_lines()) == 4
    assert len(right.get_lines()) == len(LINKS)
