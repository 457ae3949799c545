"""Code that decides numbers has a revision, and is held to the numbers that it gave when it got that."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from companion.fewshot.methods import RecordFineTuning
from companion.fewshot.pretraining import Pretraining
from companion.fewshot.scores import LearningCurve, RecordAccuracy, Scoring
from companion.fewshot.table1 import RecordEachShot
from companion.inner_gradients.settings import RecordCurve
from companion.overlap.late_gradients import RecordGradients
from companion.personalization.experiment import RecordClients
from companion.personalization.upright import Upright
from companion.results import load_result
from companion.revisions import KEY, other_code, revised, without_revisions
from companion.running import runner
from companion.sine.scores import RecordAdaptation
from metalib.data.glyphs import glyphs
from metalib.errors import StoreError
from metalib.evaluation.regression import adaptation_errors
from metalib.optimizers import OPTIMIZERS
from metalib.revisions import REVISIONS
from metalib.tasks.fewshot import SCHEMES, FewShot
from metalib.tasks.sine import Sine, sample_support
from metalib.training import TrainingConfig, train
from metalib.training.config import ALGORITHMS
from metalib.training.outer_optimizers import OUTER_OPTIMIZERS
from tests.companion.running.sweep import SWEEP, RecordLoss
from tests.rounding import OLDER, in_double
from tests.tolerances import FLOAT32

RUN = TrainingConfig(iterations=2, tasks=2, k=3)
ADAM = replace(RUN, inner="adam", alpha=0.001, epsilon=1.0, k=2)
SGD = replace(RUN, alpha=0.001, k=2)
"""Where Adam would leave images between two classes, which one depends on the processor."""
SCORING = Scoring(2, steps=2, shots=(1,), classes=("test",))


def pool():
    return glyphs()


def tasks(**changes) -> FewShot:
    return FewShot(pool(), **{"shots": 5, "batch": 5, **changes})


def fingerprint(*arrays) -> list[float]:
    """One number per array, which knows the size of every entry and its place."""
    flat = [np.abs(np.asarray(array, np.float64).ravel()) for array in arrays]
    return [float(x @ (2.0 + np.cos(np.arange(len(x)))) / len(x)) for x in flat]


def joined(params) -> np.ndarray:
    """All weights as one array."""
    return np.concatenate([np.asarray(value, np.float64).ravel() for value in params.values()])


def of_family(family):
    """What is sampled, the initial weights, and the loss of the first minibatch."""
    sampled = family.sample(3, 1, 2, 2)
    phi = family.initialize(3)
    first = family.loss({name: torch.from_numpy(array[0, 0, :1]) for name, array in sampled.items()})
    return fingerprint(*sampled.values(), joined(phi), first(phi))


def of_training():
    """How far two iterations move the weights, for every algorithm, inner and outer optimizer.

    In double precision: Adam turns the roundoff of what vanishes into a whole step.
    """
    family = Sine(batch=3, dtype="float64")
    start = joined(family.initialize(0))
    moved = []
    for algorithm, inner, outer in product(ALGORITHMS, OPTIMIZERS, OUTER_OPTIMIZERS):
        if algorithm == "maml" and inner != "sgd":
            continue
        weights = (1.0, 0.0, 2.0) if algorithm == "combination" else ()
        changes = {"algorithm": algorithm, "weights": weights, "inner": inner, "outer": outer, "beta1": 0.5}
        moved.append(joined(train(family, [replace(RUN, **changes)]).phi) - start)
    return fingerprint(*moved)


def of_evaluation():
    """Errors along an adaptation to three sine waves, seen at five points."""
    family = Sine()
    return fingerprint(
        adaptation_errors(family.model, family.initialize(0), sample_support(0, 3, 5), 0.02, 4)
    )


def of_record(record, family, config=ADAM):
    """Every column of numbers of the tables, and the arrays that are kept of a run."""
    result = record(family, train(family, [config]))
    tables = [table.select_dtypes("number").fillna(0.0) for table in result.tables.values()]
    kept = [joined(result.arrays)] if result.arrays else []
    return fingerprint(*(table[column] for table in tables for column in table), *kept)


def of_pool():
    """How classes are divided, and images, as they are and turned."""
    classes = pool()
    split = classes.split(3)
    image = classes.gather(torch.arange(0, 4 * classes.images.shape[0] * 20, 999))
    return fingerprint(split.train, split.test, image)


def of_few_shot():
    """Every scheme, and a tail of its own."""
    families = [*(tasks(scheme=scheme) for scheme in SCHEMES), tasks(tail_shots=1, reduction="mean")]
    return [number for family in families for number in of_family(family)]


def of_curve():
    """What the monitor measures of weights before training."""
    family = tasks()
    state = ADAM.optimizer().initial_state(family.initialize(0))
    return fingerprint(LearningCurve(SCORING)(family, [ADAM], family.initialize(0), state, 0))


NUMBERS = {
    "training": of_training,
    "evaluation": of_evaluation,
    "Sine": lambda: of_family(Sine()),
    "ClassPool": of_pool,
    "FewShot": of_few_shot,
    "Pretraining": lambda: of_family(Pretraining(pool(), 5)),
    "LearningCurve": of_curve,
    "RecordAccuracy": lambda: of_record(RecordAccuracy(SCORING, weights=True), tasks()),
    "RecordAdaptation": lambda: of_record(RecordAdaptation(2, gradient_steps=2), Sine(), RUN),
    "RecordCurve": lambda: of_record(RecordCurve(SCORING), tasks()),
    "RecordEachShot": lambda: of_record(RecordEachShot((SCORING,)), tasks()),
    "RecordFineTuning": lambda: of_record(RecordFineTuning(tasks(), SCORING), Pretraining(pool(), 5), SGD),
    "RecordClients": lambda: of_record(
        RecordClients(2), Upright(pool(), filters=4), replace(RUN, alpha=0.01)
    ),
    "RecordGradients": lambda: of_record(RecordGradients("reptile", 2, random=True), in_double(tasks())),
    "Upright": lambda: of_family(Upright(pool(), filters=4)),
}
GOLDEN = {
    "training": (
        1,
        [
            0.0005487781,
            0.2214363,
            0.001170738,
            0.003991076,
            0.2540461,
            0.008431575,
            0.0033701,
            0.2217643,
            0.00722381,
            0.0009665185,
            0.2516668,
            0.002086238,
            0.00209471,
            0.2434686,
            0.004510664,
            0.002178495,
            0.2264538,
            0.004648111,
            0.0004621651,
            0.2465222,
            0.0009953805,
            0.0002036961,
            0.2576746,
            0.0003710732,
            0.001616518,
            0.2356812,
            0.003365665,
            0.002199337,
            0.1727218,
            0.004458678,
            0.001706397,
            0.25316,
            0.003679516,
            0.004293741,
            0.2502,
            0.008981676,
            0.003631501,
            0.2216108,
            0.007893567,
        ],
    ),
    "evaluation": (1, [0.8493249]),
    "Sine": (1, [5.151343, 3.287638, 0.1500934, 10.14412]),
    "ClassPool": (1, [2627.873, 628.0393, 1.552001]),
    "FewShot": (
        1,
        [
            51461.37,
            3.973473,
            0.07731668,
            21.6494,
            51860.36,
            4.002977,
            0.07731668,
            26.21684,
            51461.37,
            3.973473,
            0.07731668,
            21.6494,
            50892.52,
            4.000787,
            0.07731668,
            5.874629,
        ],
    ),
    "Pretraining": (1, [51751.51, 1900.671, 0.05656987, 115.2784]),
    "LearningCurve": (1, [80.80605]),
    "RecordAccuracy": (
        1,
        [0, 11.87359, 2.374718, 4.749437, 67.49437, 0, 0, 0, 6, 29.9306, 26.26016, 0.04000314],
    ),
    "RecordAdaptation": (
        1,
        [
            0,
            3.673182,
            0.1224394,
            1.937864,
            5.171274,
            2.221031,
            5.171274,
            0,
            0.3600223,
            0.296436,
            0,
            0,
            6,
            22.6009,
            22.19129,
            0.1485382,
        ],
    ),
    "RecordCurve": (1, [0, 11.87359, 2.374718, 4.749437, 67.49437, 0, 0, 6, 29.9306, 26.26016]),
    "RecordEachShot": (
        1,
        [0, 11.87359, 2.374718, 4.749437, 67.49437, 0, 0, 0, 6, 29.9306, 26.26016, 0.04000314],
    ),
    "RecordFineTuning": (
        1,
        [0, 10.74042, 2.148084, 4.296168, 63.2374, 19.40996, 0, 0, 6, 114.5879, 115.3734, 0.07646642],
    ),
    "RecordClients": (1, [0, 12.54933, 14.65552, 59.5779, 0, 0, 6, 5.604446, 4.860937]),
    "RecordGradients": (1, [0, 6.034305, 3.980903, 0.3938108, 145.519, 0.3463904]),
    "Upright": (1, [50409.23, 2.977763, 0.3481601, 4.573174]),
}
"""By name: the revision, and the numbers that it gives. Whoever changes the numbers on purpose raises the
revision in `metalib/revisions.py` or `companion/revisions.py`, and puts both here."""


@pytest.mark.parametrize("name", REVISIONS)
def test_the_code_of_a_revision_gives_the_numbers_that_it_gave_when_it_was_declared(name):
    revision, numbers = GOLDEN[name]
    assert REVISIONS[name] == revision, "a raised revision needs its own numbers here"
    assert NUMBERS[name]() == pytest.approx(numbers, rel=10 * FLOAT32), "other numbers need a raised revision"


def test_a_processor_that_rounds_otherwise_gives_them_too():
    """Libraries that think the processor an older one take other instructions, in another order."""
    same = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        __file__,
        "-k",
        "gives_the_numbers",
    ]
    found = subprocess.run(same, env={**os.environ, **OLDER}, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_a_configuration_names_its_code_at_any_depth_and_its_facts_name_none():
    unit = {"family": {"kind": "FewShot", "pool": {"kind": "ClassPool"}}, "facts": {"kind": "sum"}}
    identity = revised({"units": [unit]})
    assert identity[KEY] == {"training": 1, "evaluation": 1, "ClassPool": 1, "FewShot": 1}
    assert without_revisions(identity) == {"units": [unit]}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({}, "Sine of revision 1, now 3"),
        ({KEY: {}}, "Sine of revision 1, now 3"),
        ({KEY: {"Sine": 2}}, "Sine of revision 2, now 3"),
        ({KEY: {"Sine": 3}}, ""),
        ({KEY: {"Sine": 3, "training": 2}}, "training of revision 2, now 1"),
        ({KEY: {"Sine": 4, "Cosine": 2}}, "Cosine of revision 2, now 1, Sine of revision 4, now 3"),
        ({KEY: None}, "revisions that cannot be read"),
        ({KEY: "Sine"}, "revisions that cannot be read"),
    ],
)
def test_a_result_of_other_code_says_of_which(monkeypatch, stored, expected):
    monkeypatch.setitem(REVISIONS, "Sine", 3)
    assert other_code({"family": {"kind": "Sine"}, **stored}) == expected


def run(tmp_path, **keywords):
    return runner.run(SWEEP, "smoke", seeds=(0,), results=tmp_path, **keywords)


def test_a_result_of_other_code_is_not_returned_and_made_again_only_when_asked(tmp_path, monkeypatch):
    before = run(tmp_path).tables["rows"]
    folder = tmp_path / "sweep" / "smoke"
    monkeypatch.setitem(REVISIONS, "Sine", 2)
    for attempt in (lambda: run(tmp_path), lambda: load_result(folder)):
        with pytest.raises(StoreError, match=r"of other code \(Sine of revision 1, now 2\); .* --again"):
            attempt()
    assert load_result(folder, of_other_code=True).provenance["config"][KEY]["Sine"] == 1
    assert run(tmp_path, again=True).provenance["config"][KEY]["Sine"] == 2
    assert run(tmp_path).tables["rows"].equals(before), "the numbers are those of the same code"


def interrupted(tmp_path, monkeypatch):
    """Have one unit finished, and a checkpoint of the second."""
    recorded = []
    record = RecordLoss.__call__

    def stop(self, family, trained):
        recorded.append(self.name)
        if len(recorded) == 2:
            raise KeyboardInterrupt
        return record(self, family, trained)

    monkeypatch.setattr(RecordLoss, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.setattr(RecordLoss, "__call__", record)


def test_unfinished_work_of_other_code_is_not_gone_on_with_and_begun_anew_only_when_asked(
    tmp_path, monkeypatch
):
    interrupted(tmp_path, monkeypatch)
    monkeypatch.setitem(REVISIONS, "Sine", 2)
    with pytest.raises(StoreError, match=r"a result of other code \(Sine of revision 1, now 2\)"):
        run(tmp_path)
    (kept,) = (path.parent for path in tmp_path.glob(".unfinished/*/*/provenance.json"))
    shutil.rmtree(kept)
    with pytest.raises(StoreError, match=r"npz is the checkpoint of code that has been revised since"):
        run(tmp_path)
    assert run(tmp_path, again=True).provenance["config"][KEY]["Sine"] == 2


def test_work_begun_before_there_were_revisions_is_gone_on_with(tmp_path, monkeypatch):
    interrupted(tmp_path, monkeypatch)
    (path,) = tmp_path.glob(".unfinished/*/*/provenance.json")
    provenance = json.loads(path.read_text())
    for entry in ("sha256", "columns"):
        del provenance[entry]
    del provenance["config"][KEY]
    path.write_text(json.dumps(provenance))
    assert len(run(tmp_path).tables["rows"]) == 6
