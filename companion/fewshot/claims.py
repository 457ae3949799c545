"""The claims of section 6.1, each from the stored runs to its verdict; page and tests call them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from companion.fewshot import fidelity, methods, table2
from companion.intervals import plus_minus
from companion.results import Result, load_result
from companion.verdicts import OPEN, Claim, verdict

MOMENTUM = ("beta1-0.5", "beta1-0.9")


@dataclass(frozen=True)
class Evidence:
    """The stored runs that the page rests on.

    Attributes:
        budget: which of the stored runs.
        table2: Reptile, 5 and 20 ways.
        methods: the other methods, 5-way.
        fidelity: what undocumented details are worth.
    """

    budget: str
    table2: Result
    methods: Result
    fidelity: Result

    @classmethod
    def load(cls, results: Path, budget: str) -> Evidence:
        """Read the stored runs.

        Args:
            results: the folder that holds all results.
            budget: which of the stored runs, such as "laptop".

        Raises:
            StoreError: if one of them is missing or damaged.
        """
        names = ("table2", "table2-methods", "fidelity")
        return cls(budget, *(load_result(results / name / budget) for name in names))

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

    @cached_property
    def worth(self) -> pd.DataFrame:
        """What every undocumented detail is worth."""
        return fidelity.worth(self.fidelity.tables["accuracy"])

    @property
    def one_shot(self) -> pd.DataFrame:
        """The methods at 5-way 1-shot with transduction, by algorithm."""
        table = self.by_method
        return table[(table.shots == 1) & (table["mode"] == "transductive")].set_index("algorithm")


def table_2_is_reproduced(evidence: Evidence) -> Claim:
    """Reptile's eight cells; only the paper's own budget can decide."""
    compared = evidence.compared
    shortfall = compared.paper - compared["mean"]
    return Claim(
        "Table 2",
        "Reptile's eight cells, at 100,000 and 200,000 outer iterations",
        f"at a tenth and less of that budget {shortfall.min():.1f} to {shortfall.max():.1f} points short",
        verdict(*(compared.high >= compared.paper)) if evidence.budget == "paper" else OPEN,
    )


def transduction_helps(evidence: Evidence) -> Claim:
    """In every cell the paired difference is clear of zero."""
    paired = evidence.transduction
    return Claim(
        "transduction helps",
        "in every cell",
        ", ".join(f"{name} {mean:+.1f}" for name, mean in zip(evidence.cells, paired["mean"], strict=True)),
        verdict(*(paired.low > 0)),
    )


def the_three_methods_are_very_similar(evidence: Evidence) -> Claim:
    """The intervals of MAML and of FOMAML overlap with Reptile's."""
    alike = evidence.one_shot.loc[["maml", "fomaml", "reptile"]]
    maml, fomaml, reptile = (row for _, row in alike.iterrows())
    texts = [f"{row.name} {text}" for (_, row), text in zip(alike.iterrows(), plus_minus(alike), strict=True)]
    return Claim(
        "MAML, FOMAML and Reptile are very similar",
        "5-way 1-shot 98.7, 98.3, 97.7; 20-way 1-shot 95.8, 89.4, 89.4",
        "in the paper's own table MAML leads by 6.4 points in one cell of four; ours, 5-way 1-shot at the "
        "budgets above: " + ", ".join(texts),
        verdict(
            *(bool(max(other.low, reptile.low) < min(other.high, reptile.high)) for other in (maml, fomaml))
        ),
    )


def joint_training_with_fine_tuning_is_a_strong_baseline(evidence: Evidence) -> Claim:
    """The interval of pre-training reaches Reptile's, however its features are used."""
    one_shot = evidence.one_shot
    pretrained = one_shot[one_shot.index.str.startswith("pretraining")]
    uses = [name.partition("-")[2] or "all fine-tuned" for name in pretrained.index]
    return Claim(
        "joint training with fine-tuning is a strong baseline",
        "section 7 expects it",
        "pre-training, 5-way 1-shot: "
        + ", ".join(f"{use} {text}" for use, text in zip(uses, plus_minus(pretrained), strict=True)),
        verdict(*(pretrained.high > one_shot.loc["reptile"].low)),
    )


def momentum_in_the_inner_loop_hurts(evidence: Evidence) -> Claim:
    """β1 of 0.5 and of 0.9 lose accuracy against 0, clear of zero, with one shot and with five."""
    worth = evidence.worth
    momentum = worth[worth.variant.isin(MOMENTUM)]
    iterations = evidence.fidelity.provenance["config"]["budget"]["iterations"]
    rows = zip(momentum.iterrows(), plus_minus(momentum), strict=True)
    return Claim(
        "momentum in the inner loop hurts",
        "across the board",
        f"5-way, after {iterations:,} outer iterations, transductive: "
        + ", ".join(f"{row.variant} {row.shots}-shot {text}" for (_, row), text in rows),
        verdict(*(momentum.high < 0)),
    )


CLAIMS = (
    table_2_is_reproduced,
    transduction_helps,
    the_three_methods_are_very_similar,
    joint_training_with_fine_tuning_is_a_strong_baseline,
    momentum_in_the_inner_loop_hurts,
)
"""The claims of the page, in its order."""


def ledger(evidence: Evidence) -> list[Claim]:
    """Return all claims of the page with their verdicts."""
    return [claim(evidence) for claim in CLAIMS]
