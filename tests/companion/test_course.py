"""The runs that two claims on AvgGradInner wait for: what is followed, and what is measured."""

import numpy as np
import pytest

from companion.avg_grad_inner.course import ALGORITHMS, COURSE, MEASURES, SEEDS, WatchComposition
from companion.avg_grad_inner.training import EPSILON, FAMILY, K, Probe, composition, displaced_start
from metalib.optimizers import State
from metalib.params import repeat


def test_every_seed_follows_all_four_methods_with_the_same_step_along_avg_grad():
    units = COURSE.units(COURSE.budgets["laptop"], SEEDS)
    assert len(units) == len(SEEDS) == 5
    for unit, seed in zip(units, SEEDS, strict=True):
        assert [run.algorithm for run in unit.configs] == list(ALGORITHMS)
        assert {run.seed for run in unit.configs} == {seed}
        for run in unit.configs:
            times = K if run.algorithm == "reptile" else 1
            assert run.epsilon * times == pytest.approx(K * EPSILON)


def test_what_is_watched_is_the_composition_of_each_method_s_own_update(device):
    unit = COURSE.units(COURSE.budgets["laptop"], (0,))[0]
    reptile_and_maml = [unit.configs[0], unit.configs[2]]
    phi = displaced_start(0.0)
    both = {name: value.to(device) for name, value in repeat(phi, 2).items()}
    watched = WatchComposition()(FAMILY, reptile_and_maml, both, State(), 0)
    assert watched.shape == (2, len(MEASURES))
    for row, run in zip(watched, reptile_and_maml, strict=True):
        expected = composition(phi, Probe.sample(), method=run.algorithm)
        assert row == pytest.approx([expected[name] for name in MEASURES])
    product = MEASURES.index("inner product")
    assert watched[0, product] == watched[1, product]
    assert not np.allclose(watched[0], watched[1]), "MAML's update is another one"
