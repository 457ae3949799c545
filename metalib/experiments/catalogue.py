"""All experiments by name."""

from __future__ import annotations

from metalib.errors import InputError
from metalib.experiments import Experiment, fidelity, sine, table2, table2_methods

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        sine.FIGURE_1,
        sine.INNER_STEPS,
        sine.META_BATCH,
        table2.TABLE_2,
        table2.TABLE_2_GLYPHS,
        table2_methods.METHODS,
        table2_methods.METHODS_GLYPHS,
        fidelity.FIDELITY,
        fidelity.FIDELITY_GLYPHS,
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
