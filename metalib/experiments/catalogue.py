"""All experiments by name."""

from __future__ import annotations

from metalib.errors import InputError
from metalib.experiments import (
    Experiment,
    fidelity,
    figure3,
    figure3_controls,
    figure3_weights,
    figure4_sensitivity,
    figure4a,
    figure4b,
    figure4c,
    late_gradients,
    sine,
    table2,
    table2_methods,
)

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
        figure3.FIGURE_3,
        figure3.FIGURE_3_GLYPHS,
        figure3_weights.WEIGHTS,
        figure3_weights.WEIGHTS_GLYPHS,
        figure3_controls.CONTROLS,
        figure3_controls.CONTROLS_GLYPHS,
        figure4a.FIGURE_4A,
        figure4a.FIGURE_4A_GLYPHS,
        figure4b.FIGURE_4B,
        figure4b.FIGURE_4B_GLYPHS,
        figure4c.FIGURE_4C,
        figure4c.FIGURE_4C_GLYPHS,
        figure4_sensitivity.SENSITIVITY,
        figure4_sensitivity.SENSITIVITY_GLYPHS,
        late_gradients.LATE_GRADIENTS,
        late_gradients.LATE_GRADIENTS_GLYPHS,
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
