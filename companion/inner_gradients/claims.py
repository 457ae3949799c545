"""The claims of section 6.2, each from the stored runs to its verdict; page and tests call them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from companion.inner_gradients.summaries import contrast, final_accuracies
from companion.inner_gradients.two_steps import MARGIN
from companion.intervals import UNMEASURED, Interval, counted, lowest, plus_minus
from companion.results import Result, load_result
from companion.verdicts import Claim, decide, each
from metalib.errors import StoreError


@dataclass(frozen=True)
class Evidence:
    """The stored runs that the page rests on.

    Attributes:
        figure3: ten combinations of inner gradients, at the paper's own length where they were run so.
        weights: weights that the paper did not try.
        controls: the controls of Figure 3.
        more_seeds: two-step Reptile and FOMAML on ten other seeds, shorter, where they were run.
        shorter: the ten combinations after a shorter training, beside those at the paper's length.
    """

    figure3: Result
    weights: Result
    controls: Result
    more_seeds: Result | None = None
    shorter: Result | None = None

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
        names = ("figure3", "figure3-weights", "figure3-controls")
        figure3, weights, controls = (load_result(results / name / budget) for name in names)
        if_stored = (results / "figure3-two-steps" / budget, results / "figure3" / "paper")
        more, full = (load_result(folder) if whole or folder.exists() else None for folder in if_stored)
        return cls(full or figure3, weights, controls, more, figure3 if full else None)

    @property
    def accuracy(self) -> pd.DataFrame:
        """The table of that name of Figure 3."""
        return self.figure3.tables["accuracy"]

    @cached_property
    def together(self) -> pd.DataFrame:
        """The accuracies of other weights and of the controls."""
        return pd.concat([self.weights.tables["accuracy"], self.controls.tables["accuracy"]])

    @cached_property
    def final(self) -> pd.DataFrame:
        """The final accuracies of Figure 3, one row per curve."""
        return final_accuracies(self.accuracy).set_index("curve")

    @property
    def budget(self) -> str:
        """How long the runs of Figure 3 are."""
        config = self.figure3.provenance["config"]
        return f"{config['budget']['iterations']:,} iterations, {counted(config['seeds'])}"

    @property
    def of_shorter_runs(self) -> Evidence:
        """The same, with the shorter runs of Figure 3 in the place of those at the paper's own length.

        Raises:
            StoreError: if Figure 3 was not run at the paper's own length, and has nothing beside it.
        """
        if self.shorter is None:
            raise StoreError("no Figure 3 at the paper's own length is stored; run figure3 --budget paper")
        return replace(self, figure3=self.shorter, shorter=None)

    @property
    def short(self) -> str:
        """How long the runs with other weights are."""
        return f"{self.weights.provenance['config']['budget']['iterations']:,} iterations"

    def gain(self, kind: str) -> Interval:
        """Return what four minibatches add to two, for curves of one kind."""
        return contrast(self.accuracy, {f"4-{kind}": 1, f"2-{kind}": -1})


def the_first_gradient_alone_does_poorly(evidence: Evidence) -> Claim:
    """g_1 is less accurate than every other curve, paired by seed."""
    others = [curve for curve in evidence.final.index if curve != "1-first"]
    behind = [contrast(evidence.accuracy, {curve: 1, "1-first": -1}) for curve in others]
    least = lowest(behind)
    first = plus_minus(evidence.final).loc["1-first"]
    return Claim(
        "the first gradient alone does poorly",
        "Fig. 3",
        f"{first} %, and behind each of the nine others, least certainly by {least:.1f} points "
        f"({evidence.budget})",
        each(behind, above=0),
    )


def two_step_reptile_is_below_two_step_fomaml(evidence: Evidence) -> Claim:
    """With two inner steps, g_2 is more accurate than g_1 + g_2."""
    ahead, level = (
        contrast(evidence.accuracy, {"2-last": 1, f"2-{kind}": -1}) for kind in ("sum", "average")
    )
    return Claim(
        "two-step Reptile is below two-step FOMAML",
        f"Fig. 3; a lead of less than {MARGIN} points counts as none",
        f"$g_2$ ahead of $g_1 + g_2$ by {ahead:.1f}; of its average by {level:.1f} ({evidence.budget})",
        decide(ahead, above=MARGIN),
    )


def it_is_so_in_shorter_runs(evidence: Evidence) -> Claim:
    """So it is after a quarter of the training, on ten seeds that Figure 3 does not have."""
    found, ran = UNMEASURED, "not run"
    if evidence.more_seeds is not None:
        found = contrast(evidence.more_seeds.tables["accuracy"], {"2-last": 1, "2-sum": -1})
        config = evidence.more_seeds.provenance["config"]
        seeds = f"{config['budget']['iterations']:,} iterations, {counted(config['seeds'])}"
        ran = f"$g_2$ ahead of $g_1 + g_2$ by {found:.1f} ({seeds})"
    return Claim(
        "and so after a quarter of the training",
        f"Fig. 3, early; a lead of less than {MARGIN} points counts as none",
        ran,
        decide(found, above=MARGIN),
    )


def sums_and_averages_improve(evidence: Evidence) -> Claim:
    """Sums and averages are more accurate with four minibatches than with two."""
    total, average = evidence.gain("sum"), evidence.gain("average")
    return Claim(
        "sums and averages improve with more minibatches",
        "Fig. 3",
        f"from two to four: sum {total:.1f}, average {average:.1f} ({evidence.budget})",
        each((total, average), above=0),
    )


def the_last_gradient_improves(evidence: Evidence) -> Claim:
    """The last gradient is more accurate with four minibatches than with two."""
    last = evidence.gain("last")
    return Claim(
        "so does the last gradient",
        "Fig. 3",
        f"from two to four: {last:.1f} ({evidence.budget})",
        decide(last, above=0),
    )


def gains_more(evidence: Evidence, kind: str) -> Interval:
    """Return how much more one kind gains from two more minibatches than the last gradient does.

    Args:
        evidence: the stored runs.
        kind: "sum", or "average", which goes as far per outer step as a last gradient.
    """
    return contrast(evidence.accuracy, {f"4-{kind}": 1, f"2-{kind}": -1, "4-last": -1, "2-last": 1})


def the_sum_gains_more_than_the_last_gradient(evidence: Evidence) -> Claim:
    """From two minibatches to four, the sum gains more than the last gradient."""
    gain = gains_more(evidence, "sum")
    return Claim(
        "the sum gains more than the last gradient",
        "Fig. 3",
        f"by {gain:.1f} ({evidence.budget})",
        decide(gain, above=0),
    )


def it_does_so_at_equal_length_of_step(evidence: Evidence) -> Claim:
    """So does the average, whose outer step is no longer than that of the last gradient."""
    gain = gains_more(evidence, "average")
    return Claim(
        "and so at equal length of step",
        "not discussed: a sum of k gradients takes a step k times as long",
        f"the average gains more than the last gradient by {gain:.1f} ({evidence.budget})",
        decide(gain, above=0),
    )


def later_gradients_add_what_is_needed(evidence: Evidence) -> Claim:
    """λ = 1 is more accurate than λ = 0, whose noise is the same, at both outer step sizes."""
    full, fifth = (
        contrast(evidence.together, {f"{run}dial1": 1, f"{run}dial0": -1}) for run in ("", "noise-")
    )
    return Claim(
        "later gradients add what is needed",
        "section 5.1, which names it AvgGradInner",
        f"at equal noise, λ = 1 ahead of 0 by {full:.1f}, at ε / 5 by {fifth:.1f} ({evidence.short})",
        each((full, fifth), above=0),
    )


def the_larger_the_share_the_better(evidence: Evidence) -> Claim:
    """Every comparison of a larger with a smaller share of AvgGradInner favors the larger one."""
    dial = evidence.weights.tables["accuracy"]
    more = {
        "MAML against FOMAML": contrast(dial, {"maml": 1, "dial1": -1}),
        "$2 g_2 - g_1$ against $g_2$": contrast(dial, {"dial2": 1, "dial1": -1}),
        "$g_4$ against its average": contrast(evidence.accuracy, {"4-last": 1, "4-average": -1}),
        "$g_4$ against $g_2$": evidence.gain("last"),
    }
    return Claim(
        "the larger the share of AvgGradInner, the better",
        "section 6.2, as a possible explanation",
        ", ".join(f"{question} {found:.1f}" for question, found in more.items())
        + f" (the first two {evidence.short}, the others {evidence.budget})",
        each(more.values(), above=0),
    )


CLAIMS = (
    the_first_gradient_alone_does_poorly,
    two_step_reptile_is_below_two_step_fomaml,
    it_is_so_in_shorter_runs,
    sums_and_averages_improve,
    the_last_gradient_improves,
    the_sum_gains_more_than_the_last_gradient,
    it_does_so_at_equal_length_of_step,
    later_gradients_add_what_is_needed,
    the_larger_the_share_the_better,
)
"""The claims of the page, in its order."""


def ledger(evidence: Evidence) -> list[Claim]:
    """Return all claims of the page with their verdicts."""
    return [claim(evidence) for claim in CLAIMS]
