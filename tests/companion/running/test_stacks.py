"""Which runs share a stack, and that sharing one does not change them."""

from dataclasses import replace

import pandas as pd
import pytest

from companion.running import request, runner, stacks
from companion.running.experiment import Budget
from companion.running.stacks import gather
from metalib.memory import WORKING_SET
from metalib.training import loop as training
from tests.companion.running.sweep import ALPHAS, SWEEP, RecordLoss, units

BUDGET = Budget(100, 1)


def test_runs_that_share_the_inner_loop_are_gathered_and_others_are_not():
    gathered = gather(units(BUDGET, (0, 1)), most=100)
    assert [sorted({config.k for config in stack.configs}) for stack in gathered] == [[2], [3]]
    assert [len(stack.configs) for stack in gathered] == [2 * len(ALPHAS)] * 2


@pytest.mark.parametrize("most", [1, 2, 4, 5])
def test_a_stack_is_no_wider_than_asked_and_no_run_is_lost_or_doubled(most):
    grid = units(BUDGET, (0, 1))
    gathered = gather(grid, most)
    assert max(len(stack.configs) for stack in gathered) == most
    assert sorted(unit.name for stack in gathered for unit in stack.units) == sorted(u.name for u in grid)
    assert len({stack.name for stack in gathered}) == len(gathered)


def test_a_unit_is_never_divided():
    one = units(BUDGET, (0,))[0]
    wide = replace(one, configs=tuple(replace(one.configs[0], seed=seed) for seed in range(5)))
    (stack,) = gather([wide], most=1)
    assert stack.units == (wide,)
    assert stack.name == wide.name


def test_work_is_counted_in_inner_steps():
    (stack,) = gather(units(BUDGET, (0,))[:2], most=2)
    assert stack.inner_steps == 2 * 100 * 2


def test_units_recorded_from_a_common_stack_are_those_trained_alone(tmp_path, monkeypatch):
    apart = runner.run(SWEEP, "smoke", seeds=(0, 1), results=tmp_path / "apart").tables["rows"]
    monkeypatch.setattr(request, "widest", lambda units, device: 100)
    together = runner.run(SWEEP, "smoke", seeds=(0, 1), results=tmp_path / "together").tables["rows"]
    pd.testing.assert_frame_equal(together, apart, rtol=1e-4)


def test_units_of_a_common_stack_are_kept_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(request, "widest", lambda units, device: 100)
    seen = []

    class Breaks(RecordLoss):
        def __call__(self, family, trained):
            seen.append(self.name)
            if len(seen) == 3:
                raise KeyboardInterrupt
            return super().__call__(family, trained)

    def breaking(budget, seeds):
        return tuple(replace(unit, record=Breaks(unit.name)) for unit in units(budget, seeds))

    broken = replace(SWEEP, units=breaking)
    with pytest.raises(KeyboardInterrupt):
        runner.run(broken, "smoke", seeds=(0,), results=tmp_path)
    assert len(list(tmp_path.glob(".unfinished/sweep-smoke/*/provenance.json"))) == 2
    taken = []
    block = training._train_block
    monkeypatch.setattr(training, "_train_block", lambda *given: (taken.append(given), block(*given)))
    runner.run(broken, "smoke", seeds=(0,), results=tmp_path)
    assert len(seen) == 3 + len(units(BUDGET, (0,))) - 2, "what was kept is not recorded again"
    assert len(taken) == 1, "the stack that was trained is not trained again, only the other one"


def test_a_processor_trains_one_run_at_a_time_and_a_gpu_as_many_as_fill_it(monkeypatch):
    grid = units(BUDGET, (0, 1))
    assert stacks.widest(grid, "cpu") == 1
    monkeypatch.setitem(WORKING_SET, "cuda", 10 * grid[0].family.footprint)
    assert stacks.widest(grid, "cuda:1") == 10
