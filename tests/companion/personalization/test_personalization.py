"""Writers as clients: who they are, what they see, how they are tested, and how predictions are decided."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from companion.budgets import Budget
from companion.glyphs import rendering
from companion.personalization import claims, experiment, figures, summaries
from companion.personalization.upright import Upright, visit
from companion.personalization.writers import BACKGROUND, KNOWN, NEW, OMNIGLOT, writers
from companion.results import Result
from companion.running import runner
from companion.verdicts import FAILS, HOLDS, OPEN
from metalib.data.classes import ClassPool
from metalib.data.glyphs import _embedded, glyphs, letters
from metalib.errors import InputError
from tests.tolerances import SIGMAS


@pytest.fixture(scope="module")
def family() -> Upright:
    return Upright(glyphs(), filters=4)


def blank(name: str, classes: int) -> ClassPool:
    return ClassPool(name, np.zeros((classes, 20, 28, 28, 1), np.uint8), train_classes=classes - 1)


def test_omniglot_has_twenty_clients_per_alphabet_with_one_drawing_of_each_character():
    found = writers(blank("Omniglot", 1623))
    assert len(found) == 50 * 20
    assert len(OMNIGLOT.split(", ")) == 50
    assert sum(len(writer.places) for writer in found) == 1623 * 20
    assert len({place for writer in found for place in writer.places.tolist()}) == 1623 * 20
    known = {writer.alphabet for writer in found if writer.kind == KNOWN}
    assert len(known) == BACKGROUND
    latin = next(w for w in found if w.alphabet == "Latin" and w.hand == 3)
    assert len(latin.places) == 26
    assert set(latin.places % 20) == {3}


def test_new_alphabets_are_never_trained_on_and_every_fourth_hand_is_held_out(family):
    for found in (family.writers, writers(blank("Omniglot", 1623))):
        trained = {writer.alphabet for writer in found if writer.training}
        assert trained.isdisjoint(writer.alphabet for writer in found if writer.kind == NEW)
        assert {w.hand % 4 for w in found if w.kind == KNOWN and not w.training} == {3}
    with pytest.raises(InputError, match="who wrote the images of Noise is not known"):
        writers(blank("Noise", 10))


def test_the_face_of_a_glyph_is_the_one_it_was_set_in():
    """Drawing it anew in that face gives the embedded image; in another face it does not."""
    faces, numbers = rendering._faces(), rendering.faces_of_renditions()
    letter = letters()[40]
    having = [number for number, (codes, _) in enumerate(faces) if ord(letter) in codes]
    again = rendering._renditions(letter, [faces[number][1] for number in having])
    assert np.array_equal(np.stack([np.packbits(image) for image in again]), _embedded()["pixels"][40])
    assert set(numbers[40]) <= set(having)
    for i in range(3):  # restricted to the face that is claimed, the same draws give the same picture
        only = [faces[numbers[40, i]][1]] * len(having)
        assert np.array_equal(rendering._renditions(letter, only)[i], again[i])


def test_minibatches_hold_one_client_in_all_turns(family):
    sampled = family.sample(seed=0, block=0, tasks=2, steps=3)
    assert sampled["image"].shape == (100, 2, 3, 20)
    upright = sampled["image"] - sampled["label"] * len(letters()) * 20
    owner = {place: i for i, w in enumerate(family.writers) if w.training for place in w.places.tolist()}
    for task in upright.reshape(200, -1):
        assert len({owner[place] for place in task.tolist()}) == 1
    assert np.unique(sampled["label"]).tolist() == [0, 1, 2, 3]


def test_fedavg_meets_clients_in_proportion_to_their_drawings_and_reptile_all_alike(family):
    training = [writer for writer in family.writers if writer.training]
    owner = {place: i for i, w in enumerate(training) for place in w.places.tolist()}
    sizes = np.array([len(writer.places) for writer in training])
    for by_data, shares in ((True, sizes / sizes.sum()), (False, np.full(len(sizes), 1 / len(sizes)))):
        sampled = replace(family, by_data=by_data).sample(0, 0, tasks=40, steps=1)
        upright = (sampled["image"] - sampled["label"] * len(letters()) * 20)[:, :, 0, 0]
        counts = np.bincount([owner[place] for place in upright.ravel().tolist()], minlength=len(sizes))
        error = np.sqrt(4_000 * shares * (1 - shares))
        assert (np.abs(counts - 4_000 * shares) < SIGMAS * error + 1).all()


def test_clients_are_tested_on_other_characters_than_they_learn_from(family):
    visited = visit(family, 0, NEW, 6)
    again = visit(family, 1, NEW, 6)
    assert [w.hand for w in visited.clients] == [w.hand for w in again.clients], "the same for every seed"
    assert not (visited.support == again.support).all()
    size = len(letters()) * 20
    for writer, support, query in zip(visited.clients, visited.support, visited.query, strict=True):
        learned, tested = set((support % size).tolist()), set((query % size).tolist())
        assert (len(learned), len(tested), len(learned & tested)) == (5, 5, 0)
        assert learned | tested <= set(writer.places.tolist())
    assert visited.label[0].tolist() == [0, 1, 2, 3] * 5


def test_every_client_is_recorded_before_and_after_and_seeds_pair(tmp_path):
    tiny = replace(
        experiment.PERSONALIZATION_GLYPHS,
        budgets={"smoke": Budget(1, 2)},
        units=lambda budget, seeds: tuple(
            replace(unit, family=replace(unit.family, filters=4))
            for unit in experiment._units(glyphs, budget, seeds)
        ),
    )
    result = runner.run(tiny, "smoke", seeds=(0, 1), results=tmp_path)
    table = result.tables["clients"]
    assert len(table) == 3 * 2 * 2 * 2 * 4
    assert set(table.method) == {"joint", "fedavg", "reptile"}
    assert table.accuracy.between(0, 100).all()
    found = claims.Evidence(result).difference(("reptile", 20), ("reptile", 0))
    chosen = table[(table.method == "reptile") & (table.kind == NEW)].groupby("step").accuracy.mean()
    assert found.over_seeds.mean == pytest.approx(chosen[20] - chosen[0])


def evidence(gains: dict[tuple[str, int, str], float]) -> claims.Evidence:
    """Evidence in which accuracies are 50 plus what is asked for, with a little noise."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "method": method, "seed": seed, "kind": kind, "alphabet": f"{kind} {alphabet}", "hand": hand,
            "step": step, "accuracy": 50.0 + gains.get((method, step, kind), 0.0) + rng.normal(0, 0.5),
        }
        for method in ("joint", "fedavg", "reptile")
        for seed in range(3)
        for kind in (KNOWN, NEW)
        for alphabet in range(8)
        for hand in range(3)
        for step in experiment.RECORDED_STEPS
    ]  # fmt: skip
    return claims.Evidence(Result({"clients": pd.DataFrame(rows)}))


@pytest.mark.parametrize(
    ("gains", "verdicts"),
    [
        ({}, (OPEN, OPEN, OPEN, HOLDS)),
        ({("reptile", 20, NEW): 5.0, ("fedavg", 20, NEW): 5.0}, (HOLDS, HOLDS, HOLDS, HOLDS)),
        ({("reptile", 20, NEW): -5.0}, (FAILS, FAILS, FAILS, FAILS)),
        ({("fedavg", 20, NEW): 2.0, ("reptile", 20, KNOWN): 5.0}, (OPEN, FAILS, OPEN, OPEN)),
    ],
)
def test_predictions_are_decided_by_their_intervals(gains, verdicts):
    assert tuple(claim.verdict for claim in claims.claims(evidence(gains))) == verdicts


def test_the_page_tells_how_many_clients_are_worse_off_and_by_how_much_they_gain():
    found = evidence({("reptile", 20, NEW): 5.0})
    told = summaries.told(found)
    assert (told["gain"], told["worse"], told["ahead"]) == ("5", "0 of 24", "5.0")
    table = summaries.served(found).set_index("accuracy (%)")
    assert table.loc["Reptile", "new alphabet, own"].startswith(("54.9", "55.0", "55.1"))
    assert list(summaries.verdicts(found).verdict) == ["**holds**"] * 3 + ["**does not hold**"]
    canvas = figures.clients(found.summary(), found.per_client())
    assert len(canvas.axes) == 2
