"""All experiments by name."""

from __future__ import annotations

from typing import Any

from companion.avg_grad_inner import course
from companion.costs import experiment as costs
from companion.costs import omniglot as characters
from companion.descendants import moving_layers
from companion.fewshot import (
    evaluation_batch,
    fidelity,
    fine_tuning,
    methods,
    methods_20_way,
    table1,
    table1_equal_work,
    table1_methods,
    table2,
)
from companion.inner_gradients import controls, figure3, share, spectra, two_steps, weights
from companion.overlap import figure4a, figure4b, figure4c, late_gradients, sensitivity, tails
from companion.personalization import experiment as personalization
from companion.running.experiment import Experiment
from companion.sine import experiments as sine
from companion.sine import new_seeds, one_at_a_time, search
from metalib.errors import InputError, nearest

EXPERIMENTS: dict[str, Experiment[Any]] = {
    experiment.name: experiment
    for experiment in (
        sine.FIGURE_1,
        sine.INNER_STEPS,
        sine.META_BATCH,
        table2.TABLE_2,
        table2.TABLE_2_GLYPHS,
        table2.FIVE_WAYS,
        table2.FIVE_WAYS_GLYPHS,
        table2.TWENTY_WAYS,
        table2.TWENTY_WAYS_GLYPHS,
        methods.METHODS,
        methods.METHODS_GLYPHS,
        methods_20_way.METHODS_20_WAY,
        methods_20_way.METHODS_20_WAY_GLYPHS,
        table1.TABLE_1,
        table1_methods.TABLE_1_METHODS,
        table1_equal_work.EQUAL_WORK,
        fidelity.FIDELITY,
        fidelity.FIDELITY_GLYPHS,
        fine_tuning.FINE_TUNING,
        fine_tuning.FINE_TUNING_GLYPHS,
        evaluation_batch.EVALUATION_BATCH,
        evaluation_batch.EVALUATION_BATCH_GLYPHS,
        figure3.FIGURE_3,
        figure3.FIGURE_3_GLYPHS,
        weights.WEIGHTS,
        weights.WEIGHTS_GLYPHS,
        controls.CONTROLS,
        controls.CONTROLS_GLYPHS,
        two_steps.TWO_STEPS,
        two_steps.TWO_STEPS_GLYPHS,
        spectra.SPECTRA,
        spectra.SPECTRA_GLYPHS,
        share.SHARE_OR_SIZE,
        figure4a.FIGURE_4A,
        figure4a.FIGURE_4A_GLYPHS,
        figure4b.FIGURE_4B,
        figure4b.FIGURE_4B_GLYPHS,
        figure4c.FIGURE_4C,
        figure4c.FIGURE_4C_GLYPHS,
        sensitivity.SENSITIVITY,
        sensitivity.SENSITIVITY_GLYPHS,
        tails.TAILS,
        tails.TAILS_GLYPHS,
        late_gradients.LATE_GRADIENTS,
        late_gradients.LATE_GRADIENTS_GLYPHS,
        sine.EQUAL_K,
        search.SEARCH,
        one_at_a_time.ONE_AT_A_TIME,
        new_seeds.NEW_SEEDS,
        costs.COSTS,
        costs.IMPLICIT,
        characters.OMNIGLOT_COSTS,
        characters.OMNIGLOT_COSTS_GLYPHS,
        moving_layers.MOVING_LAYERS,
        moving_layers.MOVING_LAYERS_GLYPHS,
        moving_layers.MOVING_LAYERS_MAML,
        moving_layers.MOVING_LAYERS_MAML_GLYPHS,
        course.COURSE,
        personalization.PERSONALIZATION,
        personalization.PERSONALIZATION_GLYPHS,
    )
}


def find(name: str) -> Experiment[Any]:
    """Return the experiment of that name.

    Raises:
        InputError: if there is none.
    """
    if name not in EXPERIMENTS:
        raise InputError(
            f"there is no experiment {name!r}; choose one of {', '.join(EXPERIMENTS)}"
            f"{nearest(name, EXPERIMENTS)}"
        )
    return EXPERIMENTS[name]
