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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from companion.budgets import TABLE_2_METHODS as BUDGETS
from companion.budgets import MethodsBudget
from companion.fewshot.pieces import Pieces
from companion.fewshot.pretraining import HEAD, Pretraining, with_new_head
from companion.fewshot.scores import RecordAccuracy, Scoring, arrays, inner_optimizer, score
from companion.fewshot.settings import SETTINGS, on_both_pools, reptile_configs, reptile_family
from companion.intervals import over_seeds
from companion.results import Result
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool
from metalib.optimizers import Masked, Optimizer, State
from metalib.tasks.fewshot import FewShot
from metalib.training import Trained, TrainingConfig

WAYS = 5
MAML_OUTER_STEP = 0.001
MAML_EVALUATION_STEPS = 10
PRODUCT = 3
"""Image gradients that a Hessian-vector product counts as, per image: it computes the gradient once, and then
goes back through that, which is twice as much work again."""
MOST_ITERATIONS = 60_000
"""What Finn et al. (2017) ran."""


@dataclass(frozen=True)
class Released:
    """Settings of MAML and FOMAML as Finn et al. (2017) give them.

    Attributes:
        alpha: inner step size, on the mean loss.
        tasks: per outer iteration.
        steps: inner steps, on all support images each.
        shots: support images of each class.
        queries: images of each class on which the adapted weights are judged.
        ways: classes per task.
    """

    alpha: float
    tasks: int
    steps: int = 1
    shots: int = 1
    queries: int = 1
    ways: int = WAYS

    @property
    def support(self) -> int:
        """Images of an inner step."""
        return self.ways * self.shots

    def work(self, algorithm: str) -> int:
        """Return the image gradients of one outer iteration: one is one image, forward and backward once.

        "maml" has a product on every support image of every inner step besides; "fomaml" has none.

        >>> OMNIGLOT.work("fomaml"), OMNIGLOT.work("maml")
        (320, 800)
        """
        support = self.steps * self.support * (1 + PRODUCT * (algorithm == "maml"))
        return self.tasks * (support + self.ways * self.queries)


OMNIGLOT = Released(alpha=0.4, tasks=32)
"""5-way 1-shot."""


@dataclass(frozen=True)
class RecordFineTuning:
    """What is kept of pre-training: accuracy in three ways of using its features, history, and the features.

    A new head is fine-tuned with the features ("all"), and alone ("head"); or the nearest class mean decides
    ("nothing").

    Attributes:
        tasks: the few-shot tasks it is scored on.
        scoring: how.
    """

    tasks: FewShot
    scoring: Scoring

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        return {
            "kind": "RecordFineTuning",
            "tasks": self.tasks.as_dict(),
            "scoring": self.scoring.as_dict(),
        }

    def __call__(self, family: Pretraining, trained: Trained, pieces: Pieces | None = None) -> Result:
        """Return the accuracy of every run and way, its history, and its features.

        Args:
            family: what the runs were pre-trained on.
            trained: the runs.
            pieces: where scores are kept on the way; nowhere if `None`.
        """
        features = {name: value for name, value in trained.phi.items() if name not in HEAD}
        phi = with_new_head(trained.phi, self.tasks, [config.seed for config in trained.configs])
        # The new head has no moments, so the optimizer starts afresh.
        fresh = replace(trained, phi=phi, inner=trained.configs[0].optimizer().initial_state(phi))
        ways = {"all": inner_optimizer, "head": _head_alone, "nothing": None}
        scored = [
            score(self.tasks, fresh, self.scoring, way, pieces.of(name) if pieces else None).assign(
                fine_tuned=name
            )
            for name, way in ways.items()
        ]
        tables = {"accuracy": pd.concat(scored, ignore_index=True), "history": trained.history}
        return Result(tables, arrays(replace(trained, phi=features, inner=State())))


def _head_alone(config: TrainingConfig) -> Optimizer:
    return Masked(inner_optimizer(config), HEAD)


def released_unit(
    algorithm: str,
    pool: ClassPool,
    settings: Released,
    iterations: int,
    seeds: Sequence[int],
    record: RecordAccuracy,
    name: str = "",
) -> Unit[FewShot]:
    """Return MAML or FOMAML as released: inner steps on the support set, then the loss on the query images.

    In terms of this library k is one more than the inner steps, with a separate tail: L_1 … L_{k−1} are on
    the support, L_k on the query.

    Args:
        algorithm: "maml" or "fomaml".
        pool: the classes and their images.
        settings: of the inner loop and the outer one.
        iterations: outer iterations.
        seeds: one run each.
        record: what is kept.
        name: of the unit; by default, the algorithm.
    """
    shots, queries = settings.shots, settings.queries
    ways, support = settings.ways, settings.support
    family = FewShot(pool, ways, shots + queries, support, tail_shots=queries, reduction="mean")
    configs = tuple(
        TrainingConfig(
            algorithm=algorithm,
            seed=seed,
            k=settings.steps + 1,
            alpha=settings.alpha,
            epsilon=MAML_OUTER_STEP,
            epsilon_final=MAML_OUTER_STEP,
            outer="adam",
            iterations=iterations,
            tasks=settings.tasks,
        )
        for seed in seeds
    )
    return Unit(name or algorithm, family, configs, record, facts={"method": algorithm})


def maml_unit(
    algorithm: str, pool: ClassPool, budget: MethodsBudget, seeds: tuple[int, ...]
) -> Unit[FewShot]:
    """Return MAML or FOMAML as released for Omniglot: one inner step on the support, as many query images.

    Args:
        algorithm: "maml" or "fomaml".
        pool: the classes and their images.
        budget: how much work to do.
        seeds: one run each.
    """
    record = RecordAccuracy(Scoring(budget.evaluation_tasks, steps=MAML_EVALUATION_STEPS, batch=0))
    return released_unit(algorithm, pool, OMNIGLOT, budget.iterations_maml, seeds, record)


def _units(
    pool: Callable[[], ClassPool], budget: MethodsBudget, seeds: tuple[int, ...]
) -> tuple[Unit[Any], ...]:
    classes = pool()
    episodes = reptile_family(classes, WAYS)
    reptile = reptile_configs(WAYS, budget.iterations, seeds)
    one_step = tuple(replace(config, algorithm="joint", k=1) for config in reptile)
    on_all_classes = tuple(replace(config, tasks=1) for config in one_step)
    scoring = Scoring(budget.evaluation_tasks, batch=SETTINGS[WAYS].evaluation_batch)
    return (
        maml_unit("fomaml", classes, budget, seeds),
        maml_unit("maml", classes, budget, seeds),
        Unit("joint", episodes, one_step, RecordAccuracy(scoring), facts={"method": "joint"}),
        Unit(
            "pretraining",
            Pretraining(classes),
            on_all_classes,
            RecordFineTuning(episodes, scoring),
            facts={"method": "pretraining"},
        ),
    )


METHODS, METHODS_GLYPHS = on_both_pools(
    "table2-methods", "Table 2: MAML, FOMAML, joint training and pre-training, 5-way", BUDGETS, _units
)


def named(reptile: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Return the 5-way accuracies of all methods in one table, `algorithm` naming the method.

    "pretraining-head" is pre-training whose features stay as they are while a new head is fitted to them,
    "pretraining-nearest" the nearest class mean of these features.

    Args:
        reptile: the table `accuracy` of `table2.TABLE_2`.
        others: the table `accuracy` of `METHODS`.
    """
    # Pre-training and joint training are both "joint" to the outer loop; the method tells them apart.
    moved = others.get("fine_tuned", pd.Series("all", others.index))
    names = others.method + moved.map({"head": "-head", "nothing": "-nearest"}).fillna("")
    return pd.concat([reptile[reptile.ways == WAYS], others.assign(algorithm=names)])


def by_method(reptile: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy of every method on 5-way test classes, mean and interval over the seeds.

    Args:
        reptile: the table `accuracy` of `table2.TABLE_2`.
        others: the table `accuracy` of `METHODS`.

    Returns:
        Per `shots`, `algorithm` (as in `named`) and `mode`: `mean`, `low`, `high`.
    """
    both = named(reptile, others)
    chosen = both[(both.classes == "test") & (both["mode"] != "difference")]
    return over_seeds(chosen, ["shots", "algorithm", "mode"], "accuracy")
