"""How much work every experiment does, in one table: `BUDGETS[experiment][budget]`.

"smoke" takes seconds, "quick" about a minute, "laptop" minutes to hours on a few cores (days for Table 1),
"paper" is the paper's own budget, on sine waves that of its demo. An experiment without "laptop" needs none:
its paper's budget is small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Budget:
    """How much work an experiment may do.

    Attributes:
        iterations: outer iterations of every run.
        evaluation_tasks: unseen tasks on which every trained initialization is scored.
    """

    iterations: int
    evaluation_tasks: int

    def __str__(self) -> str:
        """Describe the budget in a line."""
        return f"{self.iterations:,} outer iterations, {self.evaluation_tasks:,} evaluation tasks"

    def as_dict(self) -> dict[str, Any]:
        """Return the budget as JSON can hold it."""
        return asdict(self)


@dataclass(frozen=True)
class FewShotBudget(Budget):
    """How much work a few-shot experiment may do: the fields of `Budget` are for 5-way tasks.

    Attributes:
        iterations_20_way: outer iterations of 20-way runs.
        evaluation_tasks_20_way: tasks on which 20-way initializations are scored.
    """

    iterations_20_way: int = 0
    evaluation_tasks_20_way: int = 0

    def __str__(self) -> str:
        """Describe the budget in a line."""
        return f"5-way {super().__str__()}; 20-way {self.for_ways(20)}"

    def for_ways(self, ways: int) -> Budget:
        """Return the budget of runs with that many classes per task."""
        if ways == 20:
            return Budget(self.iterations_20_way, self.evaluation_tasks_20_way)
        return Budget(self.iterations, self.evaluation_tasks)


@dataclass(frozen=True)
class MethodsBudget(Budget):
    """How much work the methods of Table 2 may do.

    Attributes:
        iterations_maml: outer iterations of MAML and FOMAML, of 32 tasks each.
    """

    iterations_maml: int = 0

    def __str__(self) -> str:
        """Describe the budget in a line."""
        return f"{super().__str__()}; MAML and FOMAML {self.iterations_maml:,} outer iterations"


@dataclass(frozen=True)
class SweepBudget(Budget):
    """How much work a sweep may do.

    Attributes:
        grid: the values of what is swept.
    """

    grid: tuple[float, ...] = ()

    def __str__(self) -> str:
        """Describe the budget in a line."""
        return f"{super().__str__()}, at {', '.join(f'{value:g}' for value in self.grid)}"

    def as_dict(self) -> dict[str, Any]:
        """Return the budget as JSON can hold it."""
        return {**super().as_dict(), "grid": list(self.grid)}


@dataclass(frozen=True)
class SearchBudget(Budget):
    """How much work a search may do; every candidate takes as many inner steps as `iterations` of the demo.

    Attributes:
        generations: populations that are scored one after the other.
        population: candidates of each.
    """

    generations: int = 1
    population: int = 4

    def __str__(self) -> str:
        """Describe the budget in a line."""
        return f"{super().__str__()}; {self.generations} generations of {self.population} candidates"


def _table(**works: tuple[int, int]) -> dict[str, Budget]:
    return {name: Budget(iterations, tasks) for name, (iterations, tasks) in works.items()}


def _sweep(**grids: tuple[float, ...]) -> dict[str, SweepBudget]:
    of = _OVERLAP
    return {n: SweepBudget(of[n].iterations, of[n].evaluation_tasks, grid) for n, grid in grids.items()}


_SINE = {"smoke": Budget(200, 50), "quick": Budget(3_000, 1_000), "paper": Budget(30_000, 1_000)}
_EQUAL_K = {"smoke": Budget(200, 50), "quick": Budget(3_000, 1_000), "laptop": Budget(10_000, 1_000)}
_COSTS = {"smoke": Budget(100, 30), "quick": Budget(500, 150), "laptop": Budget(2_000, 300)}
_OMNIGLOT_COSTS = {"smoke": Budget(2, 4), "quick": Budget(20, 20), "laptop": Budget(200, 100)}
_OVERLAP = {
    "smoke": Budget(10, 4),
    "quick": Budget(200, 60),
    "laptop": Budget(2_000, 200),
    "paper": Budget(40_000, 10_000),
}
_WEIGHTS = {**_OVERLAP, "laptop": Budget(2_000, 500)}

TABLE_1 = _table(smoke=(2, 2), quick=(10, 4), laptop=(10_000, 1_000), paper=(100_000, 10_000))
# For every method; on a laptop a tenth of that.
TABLE_1_EQUAL_WORK = _table(smoke=(2, 2), quick=(10, 4), laptop=(1_000, 300), paper=(100_000, 10_000))
TABLE_2 = {
    "smoke": FewShotBudget(20, 20, 10, 10),
    "quick": FewShotBudget(300, 100, 100, 40),
    "laptop": FewShotBudget(10_000, 1_000, 3_000, 400),
    "paper": FewShotBudget(100_000, 10_000, 200_000, 10_000),
}
# On a laptop three times as long as in Table 2.
TABLE_2_20_WAY = _table(smoke=(10, 10), quick=(100, 40), laptop=(10_000, 400), paper=(200_000, 10_000))
TABLE_2_METHODS = {
    "smoke": MethodsBudget(10, 10, iterations_maml=2),
    "quick": MethodsBudget(150, 60, iterations_maml=25),
    # MAML sees 48,000 tasks where Reptile sees 50,000.
    "laptop": MethodsBudget(10_000, 250, iterations_maml=1_500),
    # Finn et al. (2017) ran 60,000 iterations.
    "paper": MethodsBudget(100_000, 10_000, iterations_maml=60_000),
}
# Outer iterations of Reptile, as in Table 2; MAML and FOMAML get as many as do the same work.
TABLE_2_METHODS_20_WAY = _table(smoke=(4, 4), quick=(50, 20), laptop=(3_000, 400), paper=(200_000, 10_000))
MOVING_LAYERS = _table(smoke=(2, 4), quick=(100, 20), laptop=(600, 100), paper=(100_000, 10_000))
# MAML's outer iterations have 4 tasks here, Reptile's 5.
MOVING_LAYERS_MAML = _table(smoke=(2, 4), quick=(200, 20), laptop=(1_200, 100), paper=(60_000, 10_000))
FIDELITY = _table(smoke=(5, 6), quick=(100, 30), laptop=(2_000, 300), paper=(100_000, 10_000))
# Nothing is trained: the features are stored. One iteration that moves nothing stands for it.
FINE_TUNING = _table(smoke=(1, 4), quick=(1, 30), laptop=(1, 250), paper=(1, 10_000))
EVALUATION_BATCH = {"smoke": Budget(1, 2), "quick": Budget(1, 20), "laptop": Budget(1, 200)}  # likewise
FIGURE_3 = {
    "smoke": Budget(20, 8),
    "quick": Budget(300, 100),
    "laptop": Budget(10_000, 500),
    "paper": Budget(40_000, 2_000),  # the paper states no number of tasks
}
# Curvature is looked at every 100 iterations.
SPECTRA = {"smoke": Budget(10, 4), "quick": Budget(100, 20), "laptop": Budget(200, 60)}
SHARE = {"smoke": Budget(200, 50), "quick": Budget(1_000, 200), "laptop": Budget(3_000, 1_000)}
FIGURE_4A = _sweep(smoke=(2, 5), quick=(2, 4, 5, 8), laptop=(2, 3, 4, 5, 8), paper=(2, 3, 4, 5, 6, 7, 8, 10))
FIGURE_4B = _sweep(
    smoke=(10, 50),
    quick=(10, 25, 50),
    laptop=(10, 25, 35, 50),
    paper=(5, 10, 15, 20, 25, 30, 35, 50, 75, 100),
)
FIGURE_4C = _sweep(
    smoke=(0.1, 1.0),
    quick=(0.1, 1.0),
    laptop=(0.1, 0.3, 1.0, 4.0),
    paper=(0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 4.0, 8.0),
)
PERSONALIZATION = {  # rounds of FedAvg and Reptile, and clients of each kind
    "smoke": Budget(2, 4),
    "quick": Budget(20, 20),
    "laptop": Budget(150, 60),
    "paper": Budget(3_000, 400),
}
TAILS = {**_OVERLAP, "laptop": Budget(1_000, 300)}
LATE_GRADIENTS = {**_OVERLAP, "smoke": Budget(10, 10), "laptop": Budget(2_000, 300)}

SINE_SEARCH = {
    "smoke": SearchBudget(20, 10, generations=2, population=4),
    "quick": SearchBudget(300, 100, generations=4, population=6),
    "laptop": SearchBudget(3_000, 500, generations=8, population=8),
}
_SINE_SHORT = {"smoke": Budget(20, 10), "quick": Budget(300, 100), "laptop": Budget(3_000, 500)}
ONE_AT_A_TIME = {**_SINE_SHORT, "paper": Budget(30_000, 500)}

# Expectations are taken over 24 tasks, in each of which the points are divided in 8 ways.
INNER_PRODUCT = {"smoke": Budget(100, 24), "quick": Budget(300, 24), "laptop": Budget(1_000, 24)}

BUDGETS: Mapping[str, Mapping[str, Budget]] = {
    "sine-figure-1": _SINE,
    "sine-new-seeds": _SINE,
    "sine-inner-steps": _SINE,
    "sine-meta-batch": _SINE,
    "table2": TABLE_2,
    "table2-methods": TABLE_2_METHODS,
    "table2-methods-20-way": TABLE_2_METHODS_20_WAY,
    "table2-20-way": TABLE_2_20_WAY,
    "table2-5-way": {name: budget.for_ways(5) for name, budget in TABLE_2.items()},
    "table1": TABLE_1,
    "table1-methods": TABLE_1,
    "table1-equal-work": TABLE_1_EQUAL_WORK,
    "fidelity": FIDELITY,
    "fine-tuning": FINE_TUNING,
    "evaluation-batch": EVALUATION_BATCH,
    "figure3": FIGURE_3,
    "figure3-weights": _WEIGHTS,
    "figure3-controls": _WEIGHTS,
    "figure3-two-steps": FIGURE_3,
    "figure3-spectra": SPECTRA,
    "sine-share": SHARE,
    "figure4a": FIGURE_4A,
    "figure4b": FIGURE_4B,
    "figure4c": FIGURE_4C,
    "figure4-sensitivity": _OVERLAP,
    "figure4-tails": TAILS,
    "late-gradients": LATE_GRADIENTS,
    "sine-equal-k": _EQUAL_K,
    "sine-search": SINE_SEARCH,
    "sine-one-at-a-time": ONE_AT_A_TIME,
    "sine-costs": _COSTS,
    "sine-implicit": _COSTS,
    "omniglot-costs": _OMNIGLOT_COSTS,
    "moving-layers": MOVING_LAYERS,
    "moving-layers-maml": MOVING_LAYERS_MAML,
    "inner-product": INNER_PRODUCT,
    "personalization": PERSONALIZATION,
}
