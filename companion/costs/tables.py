"""Tables of the page on costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from companion.costs.experiment import ALPHA, COMMON_K, STRENGTH, STRONGER
from companion.costs.summaries import TRAINED, Evidence
from companion.costs.ways import FOMAML, IMPLICIT, PRODUCTS, REPTILE
from companion.implicit.expansion import predicted_implicit_coefficients
from companion.intervals import Interval, interval
from companion.results import Result
from metalib.tasks.sine import zero_function_error


def growth_table(evidence: Evidence, network: str, methods: Sequence[str]) -> pd.DataFrame:
    """Return what one more inner step costs: milliseconds, memory in units of the weights, operations.

    Args:
        evidence: the measurements.
        network: "sine" or "Omniglot".
        methods: the rows.
    """
    rows = []
    for method in methods:
        time = evidence.per_step(network, method, "seconds")
        flop = evidence.per_step(network, method, "megaflop").mean
        rows.append(
            {
                "one more step": method,
                "ms": f"{Interval(*(1e3 * v for v in time)):.{2 if network == 'sine' else 1}f}",
                "exponent": f"{evidence.exponent(network, method):.2f}",
                "memory, in weights": f"{abs(evidence.weights_per_step(network, method).mean):.1f}",
                "million operations": f"{flop:,.0f}" if flop > 100 else f"{flop:.2f}",
            }
        )
    return pd.DataFrame(rows)


def noise_table(evidence: Evidence, place: str, minibatches: str, ks: Sequence[int]) -> pd.DataFrame:
    """Return, per method, the median over seeds of the tasks that a meta-gradient must be averaged over.

    Where one seed's signal cannot be told from zero, the cell says so.
    """
    rows = evidence.noise[(evidence.noise.phi == place) & (evidence.noise.minibatches == minibatches)]
    table = []
    for method in (PRODUCTS, FOMAML, REPTILE, IMPLICIT):
        cells: dict[str, object] = {"method": "MAML" if method == PRODUCTS else method}
        for k in ks:
            values = rows[(rows.method == method) & (rows.k == k)].tasks_needed.to_numpy()
            cells[f"k = {k}"] = (
                f"{float(f'{np.median(values):.2g}'):,.0f}" if np.isfinite(values).all() else "no signal"
            )
        table.append(cells)
    return pd.DataFrame(table)


def characters_table(evidence: Evidence, result: Result, mode: str = "transductive") -> pd.DataFrame:
    """Return, per method on Omniglot, what an outer step and all of training take, and the accuracy bought.

    Args:
        evidence: the times.
        result: of `OMNIGLOT_COSTS`.
        mode: "transductive" or "inductive".
    """
    accuracy, steps = result.tables["accuracy"], result.provenance["config"]["budget"]["iterations"]
    rows = []
    for name, method in TRAINED.items():
        of = accuracy[(accuracy.method == name) & (accuracy["mode"] == mode)]
        seconds = float(evidence.of("training, characters", method, "seconds").iloc[0])
        rows.append(
            {
                "method": "MAML" if method == PRODUCTS else method,
                "ms per outer step": f"{1e3 * seconds:.0f}",
                "seconds in all": f"{steps * seconds:.0f}",
                "accuracy (%)": f"{interval(of.accuracy.to_numpy()):.1f}",
            }
        )
    return pd.DataFrame(rows)


def pulls_table(evidence: Evidence) -> pd.DataFrame:
    """Return, per λ of implicit MAML, its AvgGradInner, the error, and how its solver did at the end."""
    rows = []
    for strength in (STRENGTH, *STRONGER):
        stored = evidence.runs if strength == STRENGTH else evidence.stronger
        tables = {
            name: table[table.algorithm == "imaml"]
            if stored is evidence.runs
            else table[(table["pull"] == strength) & (table.algorithm == "imaml")]
            for name, table in stored.tables.items()
        }
        scored, history = tables["adaptation"], tables["history"]
        errors = scored[(scored.points == "whole") & (scored.step == 10)].mse.to_numpy()
        end = history[history.iteration == history.iteration.max()]
        share = predicted_implicit_coefficients(COMMON_K, ALPHA, strength).ratio / ALPHA
        # An error above that of the zero function, or none: worse than not to adapt.
        diverged = not errors.max() <= zero_function_error()
        rows.append(
            {
                "λ": f"{strength:g}",
                "AvgGradInner, in α": f"{share:.1f}",
                "error": "diverged" if diverged else f"{interval(errors):.2f}",
                "solver steps": f"{end.solver_steps.mean():.1f}",
                "residual": f"{end.solver_residual.mean():.1g}",
                "tasks that curve downward": f"{end.bent.mean():.0%}",
            }
        )
    return pd.DataFrame(rows)
