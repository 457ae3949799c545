"""What the stored searches say: verdicts on runs whose effects are known, and what was said before."""

import math

import numpy as np
import pandas as pd
import pytest

from companion.results import Result
from companion.sine import claims, figures, tuning
from companion.sine.one_at_a_time import CHANGES, UNCHANGED
from companion.sine.search import FRESH, LONGER
from companion.sine.settings import DEMO, NAMES
from companion.verdicts import FAILS, HOLDS, OPEN, negated
from tests.tolerances import EXACT

SEEDS = range(5)


def changed(factors: dict[tuple[str, float], float], spread: float = 0.01, iterations: int = 100) -> Result:
    """A result in which changes multiply the error by factors, 1 if not named; seeds differ by a spread."""
    noise = np.random.default_rng(0).normal(1.0, spread, (100, len(SEEDS)))
    rows = [
        {"changed": name, "value": value, "seed": seed, "mse": (seed + 1.0) * factor * noise[i, seed]}
        for i, (name, value, factor) in enumerate(
            [(UNCHANGED, 1.0, 1.0)]
            + [(n, v, factors.get((n, v), 1.0)) for n, values in CHANGES.items() for v in values]
        )
        for seed in SEEDS
    ]
    budget = {"iterations": iterations}
    return Result({"error": pd.DataFrame(rows)}, provenance={"config": {"budget": budget}})


def searched(lead: float, lead_long: float, k: int = 8, alpha: float = 0.05) -> Result:
    """Five searches of two candidates each; what they find errs less than the demo's settings by a factor."""
    own = {
        "alpha": DEMO.alpha,
        "epsilon": DEMO.epsilon,
        "k": DEMO.k,
        "batch": DEMO.batch,
        "per_step": DEMO.tasks,
    }
    other = {**own, "alpha": alpha, "k": k}
    candidates, test = [], []
    for search in SEEDS:
        for generation, settings, error in (
            (0, own, 2.0),
            (1, own, 4.0),
            (1, other, math.inf),
            (2, other, 1.0),
        ):
            candidates.append({"search": search, "generation": generation, **settings, "error": error})
        for run in range(FRESH):
            for longer, factor in ((1, lead), (LONGER, lead_long)):
                error = 1.0 + 0.01 * run + search
                seed = FRESH * search + run
                told = {"search": search, "seed": seed, "longer": longer}
                test.append({**told, "settings": "demo", **own, "mse": error})
                test.append({**told, "settings": "found", **other, "mse": error / factor * 1.01**search})
    return Result({"candidates": pd.DataFrame(candidates), "test": pd.DataFrame(test)})


def test_effects_are_paired_by_seed():
    found = tuning.effect(changed({("alpha", 0.04): 1.5}), "alpha", 0.04)
    assert found.mean == pytest.approx(math.log(1.5), abs=0.03)
    assert found.high - found.low < 0.1  # though the errors of the seeds differ by a factor of five


@pytest.mark.parametrize(
    ("factor", "spread", "verdict"),
    [(1.0, 0.01, HOLDS), (1.6, 0.01, FAILS), (0.6, 0.01, FAILS), (1.25, 0.05, OPEN), (1.0, 0.3, OPEN)],
)
def test_a_setting_matters_little_if_all_its_changes_stay_within_the_margin(factor, spread, verdict):
    one = changed({("k", 10): factor}, spread)
    assert tuning.matters_little(one, "k") == verdict


@pytest.mark.parametrize(
    ("mattering", "verdict"),
    [((), HOLDS), (("alpha", "k"), HOLDS), (("alpha", "k", "tasks"), FAILS), (tuple(CHANGES), FAILS)],
)
def test_most_settings_matter_little_if_more_than_half_of_them_do(mattering, verdict):
    nothing = Result({})
    long = changed({(name, CHANGES[name][0]): 2.0 for name in mattering})
    evidence = claims.Evidence(nothing, nothing, nothing, nothing, nothing, long, nothing)
    claim = claims.most_settings_matter_little(evidence)
    assert claim.verdict == verdict
    assert f"{len(CHANGES) - len(mattering)} of 5 settings" in claim.measured


def test_a_change_that_counts_less_in_long_runs_shrinks_whichever_way_it_goes():
    short = changed({("epsilon", 0.05): 2.0, ("epsilon", 0.2): 0.5})
    long = changed({("epsilon", 0.05): 1.2, ("epsilon", 0.2): 0.9})
    for value in CHANGES["epsilon"]:
        assert tuning.shrinks(short, long, "epsilon", value).low > 0
        assert tuning.shrinks(long, short, "epsilon", value).high < 0


def test_a_lead_is_the_ratio_of_the_demos_error_to_that_of_what_is_found():
    result = searched(2.0, 1.1)
    assert tuning.leads(result).iloc[0] == pytest.approx(math.log(2.0), rel=EXACT)
    assert tuning.as_ratio(tuning.lead(result, LONGER)).startswith("1.08 (")
    assert list(tuning.chosen(result).k) == [8] * 5
    assert list(tuning.chosen(result).columns) == list(NAMES)


def test_the_table_of_what_is_found_begins_with_the_demo_and_has_a_row_per_search():
    table = tuning.settings_found(searched(2.0, 1.1))
    assert list(table.iloc[0]) == ["demo", "0.02", "0.1", "5", "1", "10", "1", "1"]
    assert list(table.iloc[1]) == ["search 0", "0.05", "0.1", "8", "1", "10", "2.00", "1.10"]
    assert len(table) == 1 + len(SEEDS)


def test_a_search_one_of_whose_runs_diverges_leads_by_no_number_and_leaves_its_sentences_open():
    result = searched(2.0, 1.1)
    test = result.tables["test"]
    lost = (test.settings == "found") & (test.seed == FRESH)  # a run of search 1
    result.tables["test"] = test.assign(mse=test.mse.mask(lost))
    assert list(np.isnan(tuning.leads(result))) == [False, True, False, False, False]
    assert list(tuning.settings_found(result).lead)[:3] == ["1", "2.00", "diverged"]
    told = tuning.foretold(result, changed({}), changed({}))
    assert list(told["it"])[:2] == [OPEN, OPEN]


def test_candidates_are_compared_with_the_demo_on_the_tasks_of_their_own_search():
    tried = tuning.candidates(searched(2.0, 1.1))
    first = tried[tried.search == 0]
    assert list(first.ratio) == [2.0, math.inf, 0.5]
    assert list(first.best) == [2.0, 2.0, 0.5]


def test_every_sentence_said_before_can_come_true_and_can_fail():
    short = changed({(name, value): 2.0 for name in ("alpha", "epsilon", "tasks") for value in CHANGES[name]})
    told = tuning.foretold(searched(2.0, 1.1), short, changed({}))
    assert list(told["it"]) == [HOLDS] * 7
    opposite = tuning.foretold(
        searched(0.9, 1.1, k=1, alpha=0.001),
        changed({("batch", 5): 2.0}),
        changed({("epsilon", 0.05): 3.0, ("epsilon", 0.2): 3.0}),
    )
    assert list(opposite["it"]) == [FAILS] * 7


def test_what_is_not_decided_stays_so_when_it_is_negated():
    assert [negated(verdict) for verdict in (HOLDS, FAILS, OPEN)] == [FAILS, HOLDS, OPEN]


def test_figures_name_what_they_show():
    short, long = changed({("alpha", 0.04): 1.5}), changed({}, iterations=1_000)
    for drawn in (
        figures.search(tuning.candidates(searched(2.0, 1.1)), tuning.chosen(searched(2.0, 1.1))),
        figures.one_at_a_time(short, long),
    ):
        for axes in drawn.axes:
            assert axes.get_xlabel()
            assert axes.get_legend()
    assert list(tuning.factors(short, long).columns[-2:]) == ["100 iterations", "1,000 iterations"]
    assert len(tuning.factors(short, long)) == 9
