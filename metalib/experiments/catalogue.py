"""All experiments by name."""

from __future__ import annotations

from metalib.errors import InputError
from metalib.experiments import Experiment, sine, table2

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        sine.FIGURE_1,
        sine.INNER_STEPS,
        sine.META_BATCH,
        table2.TABLE_2,
        table2.TABLE_2_GLYPHS,
    )
}


def find(name: str) -> Experiment:
    """Return the experiment of that name.

    Raises:
        InputError: if there is none.
    """
    if name not in EXPERIMENTS:
        raise InputError(f"there is no experiment {name!r}; choose one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
