"""What is made of the stored timings."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from companion.speed import figures
from companion.speed.memory import freed_memory
from companion.speed.summaries import (
    ALONE,
    COMPILED,
    LIBRARIES,
    OURS,
    WORKS,
    Measured,
    in_gradients,
    median_interval,
    products,
    ratios,
    rounding,
    times,
)
from companion.speed.training import whole_training
from metalib.errors import InputError, StoreError

ROWS = Path(__file__).parents[3] / "benchmarks" / "peers.csv"


@pytest.fixture(scope="module")
def measured() -> Measured:
    return Measured.load(ROWS)


def row(library, quantity, value, turn=None, work="maml", case="25 tasks"):
    return {
        "work": work, "case": case, "library": library, "quantity": quantity, "round": turn, "value": value,
    }  # fmt: skip


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(StoreError, match=r"peers.csv is missing; run make benchmarks"):
        Measured.load(tmp_path / "peers.csv")


def test_a_number_that_was_changed_by_hand_is_noticed(tmp_path):
    for suffix in (".csv", ".json"):
        shutil.copy(ROWS.with_suffix(suffix), tmp_path)
    copy = tmp_path / ROWS.name
    copy.write_text(copy.read_text().replace("1", "2", 1))
    with pytest.raises(StoreError, match="has changed since it was measured"):
        Measured.load(copy)


@pytest.mark.parametrize("count", [6, 7, 15, 21])
def test_the_interval_of_a_median_holds_the_true_one_in_95_of_100_samples(count):
    """Of a skewed distribution whose median is known: log 2."""
    rng = np.random.default_rng(count)
    found = [median_interval(rng.exponential(size=count)) for _ in range(2000)]
    held = np.mean([one.low <= np.log(2) <= one.high for one in found])
    assert 0.94 <= held <= 0.995
    with pytest.raises(InputError, match="at least six"):
        median_interval(np.ones(5))


def test_ratios_are_paired_by_round():
    rows = [
        row(library, "ms", value * (1 + turn), turn)
        for turn in (3, 0, 5, 1, 4, 2)
        for library, value in ((OURS, 2.0), ("JAX", 1.0))
    ]
    found = Measured(pd.DataFrame(rows), {})
    assert found.ratio("maml", "25 tasks", "JAX") == (0.5, 0.5, 0.5)
    assert found.ratio("maml", "25 tasks", OURS, to="JAX") == (2.0, 2.0, 2.0)
    assert found.ratio("maml", "25 tasks", "higher") is None


def test_the_floor_is_what_takes_longer_of_flops_and_bytes():
    rates = [
        row("torch", name, value, 0, "machine", None)
        for name, value in (
            ("matrix product, GFLOP/s", 40.0),
            ("convolution, GFLOP/s", 50.0),
            ("copy, GB/s", 10.0),
        )
    ]
    computing = [row("floor", "FLOP", 1e8), row("floor", "bytes", 1e6)]
    moving = [row("floor", "FLOP", 1e6), row("floor", "bytes", 5e7)]
    tables = [pd.DataFrame([*rates, *rows]) for rows in (computing, moving)]
    floors = [Measured(table, {}).floor("maml", "25 tasks") for table in tables]
    assert floors == pytest.approx([2.0, 5.0])


def test_every_library_was_timed_at_every_work_but_where_the_page_says_not(measured):
    """Compiled metalib falls back on the Omniglot network; nothing else is left out."""
    missing = {
        (name, library)
        for (work, case), name in WORKS.items()
        for library in (*LIBRARIES, ALONE)
        if not len(measured.samples(work, case, library))
    }
    assert {library for _, library in missing} <= {COMPILED}
    assert all(name.startswith("Omniglot") for name, _ in missing)


def test_everyone_agreed_in_double_precision_before_being_timed(measured):
    rows = measured.rows
    off = rows[rows.quantity == "deviation, double"]
    assert off.value.max() < 1e-9, "single precision would be off by 1e-7"
    timed = rows[(rows.quantity == "ms") & ~rows.library.isin([ALONE, COMPILED])]
    key = ["work", "case", "library"]
    assert set(map(tuple, timed[key].to_numpy())) == set(map(tuple, off[key].to_numpy()))


def test_nobody_is_below_the_counted_floor(measured):
    counted = measured.rows[measured.rows.library == "floor"]
    works = set(counted[["work", "case"]].itertuples(index=False, name=None))
    assert works > set(WORKS)
    for work, case in works:
        floor = measured.floor(work, case)
        assert floor > 0
        for library in (*LIBRARIES, ALONE):
            if len(samples := measured.samples(work, case, library)):
                assert np.median(samples) > floor, (work, case, library)


def test_tables_have_a_row_per_library_and_a_column_per_work(measured):
    for table in (times(measured), ratios(measured), rounding(measured)):
        assert list(table.columns[1:]) == list(WORKS.values())
        assert {"JAX", "torch.func", "TorchOpt", "higher", "plain PyTorch"} <= set(table.iloc[:, 0])
    assert len(products(measured)) == 3 * 4
    for case in measured.networks:
        assert in_gradients(measured, case, OURS).median > 1


def test_what_it_was_measured_with_names_date_versions_and_processor_and_no_host(measured):
    about = measured.about
    assert {"torch", "jax", "optax", "higher", "torchopt"} <= set(about["versions"])
    assert about["date"].count("-") == 2
    assert about["processor"]
    assert set(json.loads(ROWS.with_suffix(".json").read_text())) == {
        "date", "processor", "python", "versions", "waiting", "sha256",
    }  # fmt: skip


def test_the_figure_has_a_row_per_work_and_a_mark_per_library(measured):
    (axes,) = figures.beside(measured).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(reversed(WORKS.values()))
    assert len(axes.containers) == len(LIBRARIES)


def test_what_keeping_memory_gains_is_paired_by_round(tmp_path):
    rows = [
        ("net", i, way, ms * (1 + 0.01 * i), faults, 300.0)
        for i in range(7)
        for way, ms, faults in (("handed back", 30.0, 5_000.0), ("kept", 20.0, 3.0))
    ]
    columns = ["network", "round", "memory", "ms", "page_faults", "megabytes"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "allocator.csv", index=False)
    (found,) = freed_memory(tmp_path / "allocator.csv").to_numpy().tolist()
    assert found == ["net", "30.9", "20.6", "1.5 (1.5 to 1.5)", "5,000", "3"]


def test_a_whole_training_is_told_in_shares_of_the_plain_loop(tmp_path):
    rows = [("compiled", 12, 100, 50.0), ("stack", 12, 100, 90.0), ("plain", 12, 100, 1_000.0)]
    table = pd.DataFrame(rows, columns=["way", "runs", "iterations", "processor_seconds"])
    table.to_csv(tmp_path / "sine_training.csv", index=False)
    found = whole_training(tmp_path / "sine_training.csv")
    assert found.seconds.tolist() == ["1000", "90", "50"]
    assert found["of the plain loop"].tolist() == ["1.000", "0.090", "0.050"]
