"""The other rows of Table 2: MAML and first-order MAML; and two baselines, pre-training and joint training.

Joint training is k = 1 on few-shot tasks. As a task numbers its classes at random, no fixed network can do
better than chance on all of them: there is nothing to learn, as on the sine waves of section 4. Pre-training
is what section 7 means by joint training with fine-tuning: one classifier of all training classes, whose
features are fine-tuned under a new last layer, or stay as they are, under a new last layer or with the
nearest class mean.

MAML and FOMAML run with the settings that Finn et al. (2017) released for 5-way 1-shot Omniglot, which
Table 2 quotes; but on the network and images of this paper, so that only the method differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from metalib.config import TrainingConfig
from metalib.experiments import Budget, Unit
from metalib.experiments.fewshot import SETTINGS, TRAIN_SHOTS, FewShotBudget, on_both_pools, reptile_configs
from metalib.experiments.fewshot_scores import Scoring, arrays, inner_optimizer, score
from metalib.inner import Only, Optimizer
from metalib.intervals import over_seeds
from metalib.store import Result
from metalib.tasks.classes import ClassPool
from metalib.tasks.fewshot import FewShot
from metalib.tasks.pretraining import HEAD, Pretraining, with_new_head
from metalib.training import Trained

WAYS = 5
MAML_ALPHA = 0.4
MAML_TASKS = 32
MAML_OUTER_STEP = 0.001
MAML_EVALUATION_STEPS = 10


@dataclass(frozen=True)
class MethodsBudget(FewShotBudget):
    """How much work the methods may do.

    Attributes:
        iterations_maml: outer iterations of MAML and FOMAML, of 32 tasks each.
    """

    iterations_maml: int = 0

    def __str__(self) -> str:
        """Say it to people."""
        return f"{super().__str__()}; MAML and FOMAML {self.iterations_maml:,} outer iterations"


BUDGETS = {
    "smoke": MethodsBudget(10, 10, iterations_maml=2),
    "quick": MethodsBudget(150, 60, iterations_maml=25),
    "laptop": MethodsBudget(10_000, 250, iterations_maml=1_500),
    "paper": MethodsBudget(100_000, 10_000, iterations_maml=60_000),
}
"""At "laptop", MAML sees 48,000 tasks where Reptile sees 50,000. Finn et al. ran 60,000 iterations."""


def maml_unit(algorithm: str, pool: ClassPool, iterations: int, seeds: tuple[int, ...]) -> Unit:
    """Return MAML as released: one inner step on the support set, the loss on as many query images.

    In terms of this library it has k = 2 with a separate tail: L_1 on the support, L_2 on the query.
    """
    family = FewShot(pool, WAYS, shots=2, batch=WAYS, tail_shots=1, reduction="mean")
    configs = tuple(
        TrainingConfig(
            algorithm=algorithm,
            seed=seed,
            k=2,
            alpha=MAML_ALPHA,
            epsilon=MAML_OUTER_STEP,
            epsilon_final=MAML_OUTER_STEP,
            outer="adam",
            iterations=iterations,
            tasks=MAML_TASKS,
        )
        for seed in seeds
    )
    return Unit(algorithm, family, configs)


def _units(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    assert isinstance(budget, MethodsBudget)
    classes = pool()
    episodes = FewShot(classes, WAYS, TRAIN_SHOTS, SETTINGS[WAYS].batch)
    reptile = reptile_configs(WAYS, budget, seeds)
    one_step = tuple(replace(config, algorithm="joint", k=1) for config in reptile)
    pretraining = tuple(replace(config, tasks=1) for config in one_step)
    return (
        maml_unit("fomaml", classes, budget.iterations_maml, seeds),
        maml_unit("maml", classes, budget.iterations_maml, seeds),
        Unit("joint", episodes, one_step),
        Unit("pretraining", Pretraining(classes), pretraining),
    )


def _record(unit: Unit, trained: Trained, budget: Budget) -> Result:
    setting, family = SETTINGS[WAYS], unit.family
    scoring = Scoring(budget.evaluation_tasks, batch=setting.evaluation_batch)
    if isinstance(family, Pretraining):
        return _record_pretraining(family, trained, scoring)
    assert isinstance(family, FewShot)
    if unit.name in ("maml", "fomaml"):
        scoring = replace(scoring, steps=MAML_EVALUATION_STEPS, batch=0)
    return Result({"accuracy": score(family, trained, scoring), "history": trained.history})


def _record_pretraining(pretraining: Pretraining, trained: Trained, scoring: Scoring) -> Result:
    """Fine-tune a new head with the features, and alone; take the nearest mean; keep the features."""
    tasks = FewShot(pretraining.pool, WAYS, TRAIN_SHOTS, SETTINGS[WAYS].batch)
    features = {name: value for name, value in trained.phi.items() if name not in HEAD}
    phi = with_new_head(trained.phi, tasks, [config.seed for config in trained.configs])
    # The new head has no moments, so Adam starts afresh.
    fresh = replace(trained, phi=phi, inner=None)
    scored = [
        score(tasks, fresh, scoring).assign(fine_tuned="all"),
        score(tasks, fresh, scoring, _head_alone).assign(fine_tuned="head"),
        score(tasks, fresh, scoring, None).assign(fine_tuned="nothing"),
    ]
    tables = {"accuracy": pd.concat(scored, ignore_index=True), "history": trained.history}
    return Result(tables, arrays(replace(trained, phi=features, inner=None)))


def _head_alone(config: TrainingConfig) -> Optimizer:
    return Only(inner_optimizer(config), HEAD)


METHODS, METHODS_GLYPHS = on_both_pools(
    "table2-methods",
    "Table 2: MAML, FOMAML, joint training and pre-training, 5-way",
    BUDGETS,
    _units,
    _record,
)


def by_method(reptile: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy of every method on 5-way test classes, mean and interval over the seeds.

    Args:
        reptile: the table `accuracy` of `table2.TABLE_2`.
        others: the table `accuracy` of `METHODS`.

    Returns:
        Per `shots`, `algorithm` and `mode`: `mean`, `low`, `high`. "pretraining-head" is pre-training whose
        features stay as they are while a new head is fitted to them, "pretraining-nearest" the nearest class
        mean of these features.
    """
    # Pre-training and joint training are both "joint" to the outer loop; their units tell them apart.
    moved = others.get("fine_tuned", pd.Series("all", others.index))
    names = others.unit + moved.map({"head": "-head", "nothing": "-nearest"}).fillna("")
    both = pd.concat([reptile[reptile.ways == WAYS], others.assign(algorithm=names)])
    chosen = both[(both.classes == "test") & (both["mode"] != "difference")]
    return over_seeds(chosen, ["shots", "algorithm", "mode"], "accuracy")
