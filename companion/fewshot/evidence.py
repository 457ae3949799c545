"""The stored runs that the page on section 6.1 rests on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from companion.fewshot import fidelity, fine_tuning, methods, methods_20_way, table2
from companion.intervals import UNMEASURED, Interval, interval, paired
from companion.results import Result, load_result

NEEDED = {"table2": "table2", "methods": "table2-methods", "fidelity": "fidelity"}
"""Fields of `Evidence`, and the experiments whose results they hold."""
IF_STORED = {
    "table1": "table1",
    "fine_tuning": "fine-tuning",
    "evaluation_batch": "evaluation-batch",
    "table1_equal_work": "table1-equal-work",
    "methods_20_way": "table2-methods-20-way",
    "twenty_ways": "table2-20-way",
}
"""Likewise, where they were run."""
AT_LENGTH = {"five_ways": "table2-5-way"}
"""Likewise, but of the paper's own budget, whatever that of the others is."""
RATHER_AT_LENGTH = ("table1", "twenty_ways")
"""Fields of `IF_STORED` for which a result of the paper's own budget is taken, if there is one."""


@dataclass(frozen=True)
class Evidence:
    """The stored runs that the page rests on.

    Attributes:
        budget: which of the stored runs.
        table2: Reptile, 5 and 20 ways.
        methods: the other methods, 5-way.
        fidelity: what undocumented details are worth.
        table1: Reptile on Mini-ImageNet, where it was run.
        fine_tuning: pre-training with the best fine-tuning of a grid, where it was run.
        evaluation_batch: Reptile, 5 ways, evaluated in other ways, where it was run.
        table1_equal_work: all methods on Mini-ImageNet after equal work, where they were run.
        methods_20_way: MAML and FOMAML with twenty ways, where they were run.
        twenty_ways: Reptile with twenty ways, longer than in `table2`, where it was run.
        five_ways: Reptile with five ways at the paper's own length, where it was run.
    """

    budget: str
    table2: Result
    methods: Result
    fidelity: Result
    table1: Result | None = None
    fine_tuning: Result | None = None
    evaluation_batch: Result | None = None
    table1_equal_work: Result | None = None
    methods_20_way: Result | None = None
    twenty_ways: Result | None = None
    five_ways: Result | None = None

    @classmethod
    def load(cls, results: Path, budget: str, *, whole: bool = False) -> Evidence:
        """Read the stored runs.

        Args:
            results: the folder that holds all results.
            budget: which of the stored runs, such as "laptop".
            whole: whether those must be there, too, that the ledger does without.

        Raises:
            StoreError: if one of them is missing or damaged.
        """
        folders = {field: results / name / budget for field, name in {**NEEDED, **IF_STORED}.items()}
        folders |= {field: results / name / "paper" for field, name in AT_LENGTH.items()}
        for field in RATHER_AT_LENGTH:
            if (longest := results / IF_STORED[field] / "paper").exists():
                folders[field] = longest
        stored = {
            field: folder for field, folder in folders.items() if whole or field in NEEDED or folder.exists()
        }
        return cls(budget, **{field: load_result(folder) for field, folder in stored.items()})

    @property
    def accuracy(self) -> pd.DataFrame:
        """The table of that name of Table 2."""
        return self.table2.tables["accuracy"]

    @cached_property
    def compared(self) -> pd.DataFrame:
        """Every cell of Table 2, ours beside the paper's."""
        return table2.compare(self.accuracy)

    @cached_property
    def transduction(self) -> pd.DataFrame:
        """What transduction adds in every cell."""
        return table2.transduction(self.accuracy)

    @property
    def cells(self) -> list[str]:
        """The names of the cells of `transduction`."""
        return [f"{row.ways:.0f}-way {row.shots:.0f}-shot" for _, row in self.transduction.iterrows()]

    @cached_property
    def by_method(self) -> pd.DataFrame:
        """The accuracy of every method on 5-way test classes."""
        return methods.by_method(self.accuracy, self.methods.tables["accuracy"])

    @property
    def fidelity_accuracy(self) -> pd.DataFrame:
        """The table of that name of what undocumented details are worth."""
        return self.fidelity.tables["accuracy"]

    @cached_property
    def worth(self) -> pd.DataFrame:
        """What every undocumented detail is worth, all new images of a task in one pass."""
        return fidelity.worth(self.fidelity_accuracy)

    def beyond_reptile(self, method: str) -> Interval:
        """Return by how much a method is ahead of Reptile at 5-way 1-shot, transductive, paired by seed."""
        both = methods.named(self.accuracy, self.methods.tables["accuracy"])
        rows = both[(both.shots == 1) & (both["mode"] == "transductive") & (both.classes == "test")]
        cells = rows.set_index(["algorithm", "seed"]).accuracy
        return interval(paired(cells[method], cells["reptile"]))

    def beyond_reptile_20_way(self, method: str) -> Interval:
        """Return the same at 20-way 1-shot, where the methods were run after equal work."""
        if self.methods_20_way is None:
            return UNMEASURED
        return methods_20_way.ahead(self.accuracy, self.methods_20_way.tables["accuracy"], method)

    @cached_property
    def best_fine_tuning(self) -> Interval:
        """By how much pre-training with the best fine-tuning is ahead of Reptile, by seed.

        Validation classes choose it. They are left out of its test, and not of Reptile's: tasks differ.
        """
        if self.fine_tuning is None:
            return UNMEASURED
        tuned = fine_tuning.chosen(self.fine_tuning.tables["accuracy"])
        reptile = (
            self.accuracy.query("ways == 5 and shots == 1 and classes == 'test' and mode == 'transductive'")
            .set_index("seed")
            .accuracy
        )
        return interval(paired(tuned.set_index("seed").accuracy, reptile))
