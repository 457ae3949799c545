"""Which layers move: CKA against its definition, frozen parts that stay, and verdicts by the margins."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from companion.budgets import Budget
from companion.descendants import figures, moving_layers, summaries
from companion.descendants.ledger import DESCENDANTS
from companion.descendants.similarity import cka
from companion.results import load_result
from companion.running import runner
from metalib.data.classes import ClassPool
from metalib.errors import InputError
from metalib.inner import adapt
from metalib.optimizers import SGD
from tests.tolerances import EXACT, ROUNDOFF

RESULTS = Path(__file__).parents[3] / "results"


def features(seed: int, n: int = 12, p: int = 5) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(1, n, p)))


def literal_hsic(k: torch.Tensor, l: torch.Tensor) -> float:  # noqa: E741
    """The unbiased estimate as means over all pairs, triples and quadruples of different images."""
    n, pairs, triples, quadruples = len(k), [], [], []
    for i in range(n):
        for j in range(n):
            if j == i:
                continue
            pairs.append(k[i, j] * l[i, j])
            for q in range(n):
                if q in (i, j):
                    continue
                triples.append(k[i, j] * l[i, q])
                quadruples += [k[i, j] * l[q, r] for r in range(n) if r not in (i, j, q)]
    means = [float(torch.stack(part).mean()) for part in (pairs, triples, quadruples)]
    return means[0] - 2 * means[1] + means[2]


def test_cka_is_the_ratio_of_unbiased_estimates_over_different_images():
    a, b = features(0, n=6), features(1, n=6, p=3)
    k, l = (a @ a.mT)[0], (b @ b.mT)[0]  # noqa: E741
    expected = literal_hsic(k, l) / (literal_hsic(k, k) * literal_hsic(l, l)) ** 0.5
    assert float(cka(a, b)) == pytest.approx(expected, rel=ROUNDOFF)


def test_cka_does_not_see_rotations_factors_and_shifts():
    a = features(0)
    rotation = torch.linalg.qr(features(1, n=5)[0]).Q
    assert float(cka(a, 3 * a @ rotation + 7)) == pytest.approx(1, abs=EXACT)
    assert float(cka(a, a * torch.arange(1, 6))) < 0.999


def test_cka_of_unrelated_features_is_zero_on_average_however_many_there_are():
    found = [float(cka(features(2 * i, p=200), features(2 * i + 1, p=200))) for i in range(200)]
    assert abs(np.mean(found)) < 4 * np.std(found) / len(found) ** 0.5


def test_cka_says_what_it_needs():
    with pytest.raises(InputError, match="12 images stand against 11"):
        cka(features(0), features(0, n=11))
    with pytest.raises(InputError, match="3 images are too few"):
        cka(features(0, n=3), features(0, n=3))


def test_both_methods_are_trained_as_table_2_has_them():
    (reptile,) = moving_layers._reptile(small_pool, Budget(7, 2), (3,))
    (maml,) = moving_layers._maml(small_pool, Budget(7, 2), (3,))
    assert (reptile.configs[0].inner, reptile.configs[0].tasks, reptile.configs[0].k) == ("adam", 5, 5)
    assert (reptile.record.steps, reptile.record.batch) == (50, 5)
    assert (maml.configs[0].alpha, maml.configs[0].outer, maml.configs[0].tasks) == (0.4, "adam", 4)
    assert (maml.record.steps, maml.record.batch) == (10, 0)
    assert maml.configs[0].iterations == reptile.configs[0].iterations == 7


def small_pool() -> ClassPool:
    images = np.random.default_rng(0).integers(0, 2, (16, 20, 28, 28, 1)).astype(np.uint8)
    return ClassPool("noise", images, train_classes=8)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    experiment = replace(
        moving_layers.MOVING_LAYERS,
        budgets={"smoke": Budget(1, 2)},
        units=lambda budget, seeds: tuple(
            replace(unit, record=replace(unit.record, steps=2))
            for make in (moving_layers._reptile, moving_layers._maml)
            for unit in make(small_pool, budget, seeds)
        ),
    )
    return runner.run(experiment, "smoke", seeds=(0, 1), results=tmp_path_factory.mktemp("results"))


def test_every_run_is_scored_with_every_part_frozen_and_measured_in_every_layer(result):
    accuracy, layers = result.tables["accuracy"], result.tables["layers"]
    assert set(accuracy.method) == {"reptile", "maml"}
    for _, rows in accuracy.groupby("unit"):
        assert tuple(rows.moved) == moving_layers.MOVED
    for _, rows in layers.groupby("unit"):
        assert tuple(rows.layer) == moving_layers.LAYERS
    assert (layers.moved > 0).all()
    assert (layers.cka <= 1 + EXACT).all()
    assert accuracy.accuracy.between(0, 100).all()


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_frozen_part_stays_exactly_where_it_is_and_the_rest_moves(part):
    (unit,) = moving_layers._maml(small_pool, Budget(1, 2), (0,))
    family, phi = unit.family, unit.family.initialize(0)
    sampled = family.sample(0, 0, 1, 2)
    losses = [
        family.loss({name: torch.from_numpy(array[:1, 0, j]) for name, array in sampled.items()})
        for j in range(2)
    ]
    adapted = adapt(losses, phi, moving_layers.part_of(SGD(0.1), part, phi))
    changed = [name for name, value in phi.items() if not torch.equal(value, adapted[name])]
    moved = {moving_layers.layer_of(name) for name in changed}
    assert moved == ({"head"} if part == "head" else set(moving_layers.LAYERS) - {"head"})


def table(all_: list[float], body: list[float], head: list[float]) -> pd.DataFrame:
    rows = [("all", all_), ("body", body), ("head", head)]
    return pd.DataFrame(
        [("maml", seed, moved, value) for moved, values in rows for seed, value in enumerate(values)],
        columns=["method", "seed", "moved", "accuracy"],
    )


def test_freezing_costs_nothing_only_if_the_interval_lies_within_the_margin():
    verdicts = summaries.costs(table([90, 91, 92], body=[90.1, 91.0, 91.9], head=[80, 81.2, 81.9])).set_index(
        "frozen"
    )["verdict"]
    assert verdicts["head"] == "no cost"
    assert verdicts["body"] == "a cost"
    undecided = summaries.costs(table([90, 91, 92], body=[89, 91, 93], head=[95, 96, 97])).set_index("frozen")
    assert list(undecided.verdict[["head", "body"]]) == ["not decided", "a gain"]


def test_features_are_reused_only_if_the_interval_lies_above_the_threshold():
    rows = [("maml", layer, value) for layer in ("a", "b", "c") for value in (0.0, 0.001, 0.002)]
    layers = pd.DataFrame(rows, columns=["method", "layer", "cka"])
    layers["cka"] += layers.layer.map({"a": 0.95, "b": 0.5, "c": 0.899})
    assert list(summaries.similarity(layers).verdict) == ["reused", "changed", "not decided"]


def test_the_stored_runs_come_to_the_verdicts_of_the_page():
    names = ("moving-layers", "moving-layers-maml")
    accuracy, layers = summaries.tables([load_result(RESULTS / name / "laptop") for name in names])
    cost = summaries.costs(accuracy).set_index(["method", "frozen"]).verdict
    assert dict(cost) == {
        ("reptile", "body"): "a cost",
        ("reptile", "head"): "no cost",
        ("maml", "body"): "not decided",
        ("maml", "head"): "a cost",
    }
    alike = summaries.similarity(layers).set_index(["method", "layer"]).verdict
    assert list(alike["maml"]) == ["reused"] * 4 + ["changed"]
    assert list(alike["reptile"]) == ["reused"] * 3 + ["not decided", "changed"]


def test_the_tree_shows_every_descendant_of_the_table():
    drawn = " ".join(leaf.name for members in figures.TREE.values() for leaf in members)
    for descendant in DESCENDANTS:
        for name in descendant.name.split(", "):
            assert name in drawn
    figures.tree()


def test_the_figure_and_the_report_show_one_method_or_both(result):
    accuracy, layers = summaries.tables([result])
    for methods in (("reptile",), ("reptile", "maml")):
        rows = [table[table.method.isin(methods)] for table in (accuracy, layers)]
        assert len(figures.movement(*rows).axes) == 2
        told = summaries.report(*rows)
        names = {summaries.NAMES[method] for method in methods}
        assert [set(table.iloc[:, 0]) for table in told] == [names] * 3
        assert set(summaries.quoted(*rows)) == {
            f"{method}_{part}" for method in methods for part in ("head", "body", "conv4")
        }
    assert (
        summaries.amount([result]) == "5-way 5-shot, 2 seeds, 2 test tasks each; Reptile 1 outer iterations"
    )
