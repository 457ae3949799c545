"""What `make benchmarks` measured: medians, ratios with intervals, and the floor below which nobody gets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from companion.intervals import LEVEL
from metalib.errors import StoreError, require

OURS, COMPILED = "metalib", "metalib, compiled"
LIBRARIES = (OURS, COMPILED, "JAX", "torch.func", "TorchOpt", "higher", "plain PyTorch")
"""In the order of tables and figures."""
ALONE = "products alone"
WORKS = {
    ("maml", "25 tasks"): "MAML, 25 sine tasks",
    ("reptile", "25 tasks"): "Reptile, 25 sine tasks",
    ("omniglot", "1 run"): "Omniglot, one run",
    ("omniglot", "4 runs"): "Omniglot, four runs",
    ("training", "12 runs, 100 iterations"): "sine training, 12 runs",
}
"""What readers call the works."""


class Ratio(NamedTuple):
    """A median with its 95 % interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write all three, as in 6.21 (6.02 to 6.44)."""
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def median_interval(values: np.ndarray) -> Ratio:
    """Return the median and the order statistics that enclose the true one in 95 % of all samples.

    How many of n values lie below the true median is binomial, whatever they are distributed like. The
    interval leaves out as many on either side as that allows.

    Raises:
        InputError: if there are fewer than six values, whose whole range is no 95 % interval.

    >>> median_interval(np.arange(1.0, 22.0))
    Ratio(median=11.0, low=6.0, high=16.0)
    """
    ordered = np.sort(values)
    count = len(ordered)
    require(count >= 6, f"got {count} values; an interval of the median needs at least six")
    left_out = int((stats.binom.cdf(np.arange(count), count, 0.5) <= (1 - LEVEL) / 2).sum()) - 1
    return Ratio(float(np.median(ordered)), float(ordered[left_out]), float(ordered[-1 - left_out]))


def short(value: float | np.floating, digits: int = 3) -> str:
    """Return a number with so many significant digits; from 0.0001 to a million, without a power of ten.

    >>> short(2392.4), short(0.9185)
    ('2390', '0.918')
    """
    return f"{float(f'{value:.{digits}g}'):g}"


@dataclass(frozen=True)
class Measured:
    """The stored measurements.

    Attributes:
        rows: one per measurement, as `benchmarks/peers.csv` holds them.
        about: what they were measured with, as `benchmarks/peers.json` holds it.
    """

    rows: pd.DataFrame
    about: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Measured:
        """Read the rows, and the file beside them that says what they were measured with.

        Raises:
            StoreError: if one of them is missing, or the rows are not those that the other file describes.
        """
        beside = path.with_suffix(".json")
        for file in (path, beside):
            if not file.is_file():
                raise StoreError(f"{file} is missing; run make benchmarks")
        content, about = path.read_bytes(), json.loads(beside.read_text())
        if sha256(content).hexdigest() != about.get("sha256"):
            raise StoreError(f"{path} has changed since it was measured; run make benchmarks, or restore it")
        return cls(pd.read_csv(path), about)

    def samples(self, work: str, case: str, library: str) -> np.ndarray:
        """Return the milliseconds of every round, in the order of the rounds; none if it was not timed."""
        rows = self.rows
        chosen = rows[(rows.work == work) & (rows.case == case) & (rows.library == library)]
        return chosen[chosen.quantity == "ms"].sort_values("round").value.to_numpy()

    def ratio(self, work: str, case: str, library: str, to: str = OURS) -> Ratio | None:
        """Return the time of a library over another's, paired by round; nothing if it was not timed."""
        above, below = self.samples(work, case, library), self.samples(work, case, to)
        return median_interval(above / below) if len(above) and len(below) else None

    def value(self, work: str, case: str, library: str, quantity: str) -> float:
        """Return a number that was measured once; NaN if it was not."""
        rows = self.rows
        chosen = rows[(rows.work == work) & (rows.case == case) & (rows.library == library)]
        found = chosen[chosen.quantity == quantity].value
        return float(found.iloc[0]) if len(found) else float("nan")

    @cached_property
    def rates(self) -> dict[str, float]:
        """What the machine can do: "matrix" and "convolution" in GFLOP/s, "copy" in GB/s; medians."""
        rows = self.rows[self.rows.work == "machine"]
        medians = rows.groupby("quantity").value.median()
        return {str(name).split(maxsplit=1)[0].rstrip(","): float(value) for name, value in medians.items()}

    def floor(self, work: str, case: str) -> float:
        """Return the milliseconds that FLOPs, at the best rate measured, or bytes take, whichever is more."""
        flops, size = (self.value(work, case, "floor", quantity) for quantity in ("FLOP", "bytes"))
        best = max(self.rates["matrix"], self.rates["convolution"])
        return max(flops / best, size / self.rates["copy"]) / 1e6

    @cached_property
    def networks(self) -> list[str]:
        """The networks on which Hessian-vector products were timed."""
        return list(self.rows[self.rows.work == "hvp"].case.unique())


def times(measured: Measured) -> pd.DataFrame:
    """Return the table of medians in milliseconds: a row per library, a column per work."""
    rows = []
    for library in (*LIBRARIES, ALONE):
        found = [measured.samples(work, case, library) for work, case in WORKS]
        rows.append([library, *(short(np.median(ms)) if len(ms) else "–" for ms in found)])
    floors = [f"{measured.floor(work, case):.2g}" for work, case in WORKS]
    return pd.DataFrame([*rows, ["floor, counted", *floors]], columns=["ms", *WORKS.values()])


def ratios(measured: Measured) -> pd.DataFrame:
    """Return the table of ratios to eager metalib with their intervals: a row per work and library."""
    rows = []
    for library in (*LIBRARIES[1:], ALONE):
        found = [measured.ratio(work, case, library) for work, case in WORKS]
        rows.append([library, *("–" if ratio is None else str(ratio) for ratio in found)])
    return pd.DataFrame(rows, columns=["time over metalib's", *WORKS.values()])


def products(measured: Measured) -> pd.DataFrame:
    """Return the table of Hessian-vector products, in milliseconds and in gradients."""
    rows = []
    for case in measured.networks:
        for library in LIBRARIES:
            gradient, hvp = (measured.samples(work, case, library) for work in ("gradient", "hvp"))
            if len(gradient) and len(hvp):
                numbers = (short(np.median(ms)) for ms in (gradient, hvp))
                rows.append((case, library, *numbers, str(in_gradients(measured, case, library))))
    columns = ["network", "library", "gradient, ms", "product, ms", "product, in gradients"]
    return pd.DataFrame(rows, columns=columns)


def in_gradients(measured: Measured, case: str, library: str) -> Ratio:
    """Return the time of a Hessian-vector product over the median time of a gradient."""
    gradient = float(np.median(measured.samples("gradient", case, library)))
    return median_interval(measured.samples("hvp", case, library) / gradient)


def once(measured: Measured) -> pd.DataFrame:
    """Return the table of compiling: seconds of the first call beyond another one."""
    rows = []
    for library in ("JAX", COMPILED):
        found = [measured.value(*key, library, "compiling, s") for key in WORKS]
        rows.append([library, *(_or_none(value, "{:.2g}") for value in found)])
    return pd.DataFrame(rows, columns=["compiling, s", *WORKS.values()])


def rounding(measured: Measured) -> pd.DataFrame:
    """Return the table of relative deviations in single precision from plain PyTorch in double precision."""
    rows = []
    for library in LIBRARIES:
        found = [measured.value(*key, library, "deviation, single") for key in WORKS]
        rows.append([library, *(_or_none(value, "{:.0e}") for value in found)])
    return pd.DataFrame(rows, columns=["relative deviation", *WORKS.values()])


def _or_none(value: float, spec: str) -> str:
    return "–" if np.isnan(value) else spec.format(value)


def quoted(measured: Measured) -> dict[str, str]:
    """Return the numbers that the text of the page quotes, by name."""
    maml, reptile, one, many, training = WORKS
    sines = (("maml", maml), ("reptile", reptile), ("training", training))
    images = (("one", one), ("many", many))
    of_text = {
        "compiled": (COMPILED, sines),
        "jax": ("JAX", (*sines, *images)),
        "func": ("torch.func", sines),
        "torchopt": ("TorchOpt", sines[:1]),
        "higher": ("higher", sines[:1]),
        "plain": ("plain PyTorch", (*sines, *images)),
        "alone": (ALONE, images),
    }
    told = {
        f"{name}_{work}": _or_none(
            ratio.median if (ratio := measured.ratio(*key, library)) else np.nan, "{:.2g}"
        )
        for name, (library, keys) in of_text.items()
        for work, key in keys
    }
    behind = {name: measured.ratio(*key, COMPILED, to="JAX") for name, key in sines}
    told |= {f"behind_{name}": f"{ratio.median:.2g}" for name, ratio in behind.items() if ratio}
    for name, case in zip(("small", "omniglot", "mini"), measured.networks, strict=True):
        told[f"hvp_{name}"] = f"{in_gradients(measured, case, OURS).median:.2g}"
    small, iterations = measured.networks[0], 100
    eager, compiled = (
        np.median(measured.samples(*training, library)) / iterations for library in (OURS, COMPILED)
    )
    repaid = 1e3 * measured.value(*training, COMPILED, "compiling, s") / (eager - compiled)
    rows, about = measured.rows, measured.about
    agreement = rows[rows.quantity == "deviation, double"].value.max()
    versions = {
        "torch": "PyTorch",
        "higher": "higher",
        "torchopt": "TorchOpt",
        "jax": "JAX",
        "optax": "optax",
    }
    return told | {
        "agreement": f"{agreement:.0e}",
        "repaid": f"{float(f'{repaid:.2g}'):,.0f}",
        "one_gradient": f"{1e3 * measured.floor('gradient', small):.2g}",
        "plain_gradient": short(1e3 * np.median(measured.samples("gradient", small, "plain PyTorch")), 2),
        "matrix": f"{measured.rates['matrix']:.0f}",
        "convolution": f"{measured.rates['convolution']:.0f}",
        "copy": f"{measured.rates['copy']:.0f}",
        "date": about["date"],
        "processor": about["processor"],
        "versions": ", ".join(f"{label} {about['versions'][name]}" for name, label in versions.items()),
        "waiting": f"{np.mean(about['waiting']):.0f}",
    }
