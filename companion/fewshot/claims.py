"""The claims of section 6.1, each from the stored runs to its verdict; page and tests call them."""

from __future__ import annotations

from itertools import chain

import pandas as pd

from companion.budgets import TABLE_1, TABLE_2_20_WAY
from companion.fewshot import fidelity, fine_tuning, longer, table1, table2
from companion.fewshot.evidence import Evidence as Evidence
from companion.fewshot.table2 import REPRODUCED
from companion.intervals import UNMEASURED, Interval, counted, difference, interval, intervals_of, listed
from companion.results import Result
from companion.verdicts import Claim, decide, each

SIMILAR = 2.0
"""Percentage points within which two methods are similar; set after the 5-way runs, and before any others.
The paper gives no number; its own 5-way cells lie within 1.0 of one another."""
CELLS_OF_TABLE_1 = 2
MOMENTUM = ("beta1-0.5", "beta1-0.9")


def table_1_is_reproduced(evidence: Evidence) -> Claim:
    """Reptile's four cells; only several runs of the paper's own budget can decide."""
    name, paper = "Table 1", f"Reptile's four cells, at 100,000 outer iterations; within {REPRODUCED:g} point"
    if evidence.table1 is None:
        return Claim(name, paper, "not run", decide(UNMEASURED, above=-REPRODUCED))
    compared = table1.compare(evidence.table1.tables["accuracy"]).rename(columns={"ours": "mean"})
    iterations = evidence.table1.provenance["config"]["budget"]["iterations"]
    said = f"at {iterations:,} outer iterations, {_seeds(evidence.table1)}: {_short(compared)}"
    found = _gaps(compared) if iterations >= TABLE_1["paper"].iterations else [UNMEASURED]
    return Claim(name, paper, said, each(found, above=-REPRODUCED, below=REPRODUCED))


def table_2_is_reproduced(evidence: Evidence) -> Claim:
    """Reptile's eight cells; only several runs of the paper's own budget can decide."""
    said = [f"at a tenth and less of the iterations {_short(evidence.compared)}"]
    found, long = [UNMEASURED], TABLE_2_20_WAY["paper"].iterations
    if evidence.twenty_ways is not None:
        iterations = evidence.twenty_ways.provenance["config"]["budget"]["iterations"]
        said.insert(0, f"twenty ways at {iterations:,}, {_longer(evidence.twenty_ways)}")
        found = _gaps_of(evidence.twenty_ways) if iterations >= long else found
    if evidence.five_ways is not None:
        said.insert(0, f"five ways at full length, {_longer(evidence.five_ways)}")
    found += _gaps_of(evidence.five_ways) if evidence.five_ways is not None else [UNMEASURED]
    if evidence.budget == "paper":
        found = _gaps(evidence.compared)
    return Claim(
        "Table 2",
        f"Reptile's eight cells, at 100,000 and 200,000 outer iterations; within {REPRODUCED:g} point",
        "; ".join(said),
        each(found, above=-REPRODUCED, below=REPRODUCED),
    )


def _longer(result: Result) -> str:
    reached = longer.test_accuracy(result.tables["accuracy"]).dropna(subset="paper")
    return f"{_seeds(result)}: {_short(reached)}"


def _seeds(result: Result) -> str:
    return counted(result.provenance["config"]["seeds"])


def _short(compared: pd.DataFrame) -> str:
    shortfall = compared.paper - compared["mean"]
    least, most = shortfall.min(), shortfall.max()
    if most <= 0:
        return f"{-most:.1f} to {-least:.1f} points above"
    if least < 0:
        return f"{most:.1f} points short to {-least:.1f} above"
    return f"{least:.1f} to {most:.1f} points short"


def _gaps_of(part: Result) -> list[Interval]:
    """The same for one half of Table 2."""
    return _gaps(table2.compare(part.tables["accuracy"]))


def _gaps(compared: pd.DataFrame) -> list[Interval]:
    """How far every cell is from the paper's; over seeds, so that one seed has no interval."""
    return [
        difference((row["mean"], (row.high - row.low) / 2), (row.paper, row.paper_half_interval))
        for _, row in compared.iterrows()
    ]


def transduction_helps(evidence: Evidence) -> Claim:
    """In all six cells of Tables 1 and 2 the paired difference is above zero."""
    found = dict(zip(evidence.cells, intervals_of(evidence.transduction), strict=True))
    if evidence.table1 is not None:
        paired = evidence.table1.tables["accuracy"].query("classes == 'test' and mode == 'difference'")
        for shots, rows in paired.groupby("shots"):
            name = f"Mini-ImageNet {shots}-shot"
            found[name] = interval(rows.accuracy.to_numpy())
    missing = len(table2.PAPER) // 2 + CELLS_OF_TABLE_1 - len(found)
    return Claim(
        "transduction helps",
        "in every cell of Tables 1 and 2, six in all",
        listed(found) + (f"; {missing} cells not run" if missing else ""),
        each([*found.values(), *[UNMEASURED] * missing], above=0),
    )


def the_three_methods_are_very_similar(evidence: Evidence) -> Claim:
    """In every cell of the paper's table, and in ours, MAML and FOMAML lie within the margin of Reptile."""
    published = {
        cell: [difference(one, table2.PAPER[(*cell, "transductive")]) for one in rows]
        for cell, rows in table2.PAPER_MAML_AND_FOMAML.items()
    }
    ours = {name.upper(): evidence.beyond_reptile(name) for name in ("maml", "fomaml")}
    many = {name.upper(): evidence.beyond_reptile_20_way(name) for name in ("maml", "fomaml")}
    found = [*ours.values(), *(many.values() if evidence.methods_20_way else ())]
    ways, shots = farthest = max(published, key=lambda cell: published[cell][0].mean)
    return Claim(
        "MAML, FOMAML and Reptile are very similar",
        f"Table 2, in words; similar means within {SIMILAR:g} points",
        f"in the paper's own table MAML is {published[farthest][0]:.1f} points ahead at {ways}-way "
        f"{shots}-shot; ours, 1-shot, paired by seed: 5-way {listed(ours)}"
        + (f"; 20-way, after equal work, {listed(many)}" if evidence.methods_20_way else ""),
        each([*chain(*published.values()), *found], above=-SIMILAR, below=SIMILAR),
    )


def joint_training_with_fine_tuning_is_a_strong_baseline(evidence: Evidence) -> Claim:
    """The best fine-tuning of a grid, chosen on validation classes, is at most the margin behind Reptile."""
    found, nearest = evidence.best_fine_tuning, evidence.beyond_reptile("pretraining-nearest")
    best = f"ahead of Reptile by {found:+.1f}" if found != UNMEASURED else "not run"
    return Claim(
        "joint training with fine-tuning is a strong baseline",
        f"section 7 expects it; strong means at most {fine_tuning.MARGIN:g} points behind Reptile",
        f"5-way 1-shot, paired by seed: the best fine-tuning of a grid {best}; "
        f"the nearest class mean of its features, which tunes nothing, {nearest:+.1f}",
        decide(found, above=-fine_tuning.MARGIN),
    )


def momentum_in_the_inner_loop_hurts(evidence: Evidence) -> Claim:
    """β1 of 0.5 and of 0.9 lose accuracy against 0, with one shot and with five, in both modes."""
    modes = {
        "transductive": evidence.worth,
        "inductive": fidelity.worth(evidence.fidelity_accuracy, "inductive"),
    }
    worth = pd.concat([rows.assign(mode=mode) for mode, rows in modes.items()], ignore_index=True)
    momentum = worth[worth.variant.isin(MOMENTUM)]
    config = evidence.fidelity.provenance["config"]
    iterations, tasks = config["budget"]["iterations"], config["budget"]["evaluation_tasks"]
    found = intervals_of(momentum)
    names = [
        f"{row.variant.replace('beta1-', 'β1 = ')} {row.shots}-shot {row['mode']}"
        for _, row in momentum.iterrows()
    ]
    return Claim(
        "momentum in the inner loop hurts",
        "across the board",
        ", ".join(f"{name} {one:.1f}" for name, one in zip(names, found, strict=True))
        + f" (5-way, {iterations:,} iterations, {counted(config['seeds'])}, {tasks} tasks)",
        each(found, below=0),
    )


CLAIMS = (
    table_1_is_reproduced,
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
