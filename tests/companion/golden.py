"""Numbers that every part of the code with a revision gives, and those that it gave when it got that."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from companion.avg_grad_inner.course import RecordCourse, WatchComposition
from companion.costs.experiment import FreshSine, Watch
from companion.costs.omniglot import WatchCharacters
from companion.descendants.moving_layers import RecordMovement
from companion.fewshot import evaluation_batch, fine_tuning
from companion.fewshot.evaluation_batch import EVALUATIONS, RecordEvaluations, TrainedTasks
from companion.fewshot.fine_tuning import GRID, Pretrained, RecordGrid, fingerprint_of
from companion.fewshot.methods import RecordFineTuning
from companion.fewshot.pretraining import Pretraining
from companion.fewshot.scores import LearningCurve, RecordAccuracy, Scoring
from companion.fewshot.table1 import RecordEachShot
from companion.fewshot.table1_methods import RecordEachFineTuning
from companion.implicit.training import ImplicitConfig
from companion.inner_gradients.settings import RecordCurve
from companion.inner_gradients.spectra import RecordSpectra, WatchCurvature
from companion.overlap.late_gradients import RecordGradients
from companion.personalization.experiment import RecordClients
from companion.personalization.upright import Upright
from companion.sine.one_at_a_time import RecordError
from companion.sine.scores import RecordAdaptation
from companion.sine.search import RecordSearch
from metalib.data.glyphs import glyphs
from metalib.evaluation.regression import adaptation_errors
from metalib.optimizers import OPTIMIZERS
from metalib.tasks.fewshot import SCHEMES, FewShot
from metalib.tasks.sine import Sine, sample_support
from metalib.training import TrainingConfig, train
from metalib.training.config import ALGORITHMS
from metalib.training.outer_optimizers import OUTER_OPTIMIZERS
from tests.rounding import in_double

RUN = TrainingConfig(iterations=2, tasks=2, k=3)
ADAM = replace(RUN, inner="adam", alpha=0.001, epsilon=1.0, k=2)
SGD = replace(RUN, alpha=0.001, k=2)
"""Where Adam would leave images between two classes, which one depends on the processor."""
STILL = TrainingConfig("joint", iterations=1, tasks=1, k=1, epsilon=0.0)
IMPLICIT = ImplicitConfig(iterations=2, k=2, alpha=0.001, strength=10.0)
SCORING = Scoring(2, steps=2, shots=(1,), classes=("test",))


def pool():
    return glyphs()


def tasks(**changes) -> FewShot:
    return FewShot(pool(), **{"shots": 5, "batch": 5, **changes})


def fingerprint(*arrays) -> list[float]:
    """One number per array, which knows the size of every entry, its sign and its place."""
    flat = [np.asarray(array, np.float64).ravel() for array in arrays]
    return [float(np.abs(x) @ (2.0 + np.cos(np.arange(len(x))) + 0.5 * (x < 0)) / len(x)) for x in flat]


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


def of_monitor(monitor, family, config=ADAM):
    """What a monitor measures of weights before training."""
    phi = family.initialize(0)
    state = config.optimizer().initial_state(phi)
    return fingerprint(np.nan_to_num(monitor(family, [config], phi, state, 0)))


def of_evaluations():
    """Every way to evaluate, with fewer steps than it has."""
    with pytest.MonkeyPatch.context() as patch:
        shorter = tuple(replace(way, steps=way.steps // 10) for way in EVALUATIONS)
        patch.setattr(evaluation_batch, "EVALUATIONS", shorter)
        family = TrainedTasks(pool(), weights=fingerprint_of(evaluation_batch.STORED))
        return of_record(RecordEvaluations(2), in_double(family), STILL)


def of_grid():
    """Four ways to tune, of both optimizers, with all weights and with the head alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fine_tuning, "GRID", GRID[::11])
        family = Pretrained(pool(), features=fingerprint_of(fine_tuning.STORED))
        return of_record(RecordGrid(2), in_double(family), STILL)


NUMBERS = {
    "training": of_training,
    "evaluation": of_evaluation,
    "Sine": lambda: of_family(Sine()),
    "ClassPool": of_pool,
    "FewShot": of_few_shot,
    "Pretraining": lambda: of_family(Pretraining(pool(), 5)),
    "LearningCurve": lambda: of_monitor(LearningCurve(SCORING), tasks()),
    "RecordAccuracy": lambda: of_record(RecordAccuracy(SCORING, weights=True), tasks()),
    "RecordAdaptation": lambda: of_record(RecordAdaptation(2, gradient_steps=2), Sine(), RUN),
    "RecordCurve": lambda: of_record(RecordCurve(SCORING), tasks()),
    "RecordEachShot": lambda: of_record(RecordEachShot((SCORING,)), tasks()),
    "RecordEachFineTuning": lambda: of_record(
        RecordEachFineTuning(tasks(), (SCORING, replace(SCORING, shots=(2,)))), Pretraining(pool(), 5), SGD
    ),
    "RecordFineTuning": lambda: of_record(RecordFineTuning(tasks(), SCORING), Pretraining(pool(), 5), SGD),
    "RecordClients": lambda: of_record(
        RecordClients(2), Upright(pool(), filters=4), replace(RUN, alpha=0.01)
    ),
    "RecordGradients": lambda: of_record(RecordGradients("reptile", 2, random=True), in_double(tasks())),
    "Upright": lambda: of_family(Upright(pool(), filters=4)),
    "FreshSine": lambda: of_family(FreshSine()),
    "RecordCourse": lambda: of_record(RecordCourse(), Sine(dtype="float64"), SGD),
    "RecordError": lambda: of_record(RecordError(2), Sine(), RUN),
    "RecordEvaluations": of_evaluations,
    "RecordGrid": of_grid,
    "RecordMovement": lambda: of_record(RecordMovement(2, steps=2, batch=5), in_double(tasks())),
    "RecordSearch": lambda: of_record(
        RecordSearch(1, work=40, tasks=2, generations=2, population=5), Sine(), RUN
    ),
    "RecordSpectra": lambda: of_record(
        RecordSpectra(RecordCurve(SCORING), start=True), in_double(tasks()), SGD
    ),
    "Watch": lambda: of_monitor(Watch(2, steps=2), Sine(), IMPLICIT),
    "WatchCharacters": lambda: of_monitor(WatchCharacters(2), in_double(tasks()), IMPLICIT),
    "WatchComposition": lambda: of_monitor(WatchComposition(), Sine(dtype="float64"), SGD),
    "WatchCurvature": lambda: of_monitor(WatchCurvature(), in_double(tasks()), SGD),
}
GOLDEN = {
    "training": (
        1,
        [
            0.0006175017,
            0.2493318,
            0.00131763,
            0.004484051,
            0.2859823,
            0.009475031,
            0.003783404,
            0.2494257,
            0.008113149,
            0.001088845,
            0.2833659,
            0.002350544,
            0.002358047,
            0.2747102,
            0.005078601,
            0.002451364,
            0.2553282,
            0.005230996,
            0.0005194815,
            0.2773958,
            0.001119014,
            0.0002286566,
            0.2893275,
            0.0004163287,
            0.001815679,
            0.2650969,
            0.003780693,
            0.002470412,
            0.1938222,
            0.005009501,
            0.001921929,
            0.2850678,
            0.004144765,
            0.004830276,
            0.2822764,
            0.01010667,
            0.004081114,
            0.2496223,
            0.008876651,
        ],
    ),
    "evaluation": (1, [0.8493249]),
    "Sine": (1, [5.784991, 3.697303, 0.1698395, 10.14412]),
    "ClassPool": (1, [2627.873, 628.0393, 1.552001]),
    "FewShot": (
        1,
        [
            51461.37,
            3.973473,
            0.08643941,
            21.6494,
            51860.36,
            4.002977,
            0.08643941,
            26.21684,
            51461.37,
            3.973473,
            0.08643941,
            21.6494,
            50892.52,
            4.000787,
            0.08643941,
            5.874629,
        ],
    ),
    "Pretraining": (1, [51751.51, 1900.671, 0.06353772, 115.2784]),
    "LearningCurve": (1, [80.80605]),
    "RecordAccuracy": (
        1,
        [0, 11.87359, 2.374718, 4.749437, 67.49437, 0, 0, 0, 6, 29.9306, 26.26016, 0.04456134],
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
            0.3729512,
            0.296436,
            0,
            0,
            6,
            22.6009,
            22.19129,
            0.1670801,
        ],
    ),
    "RecordCurve": (1, [0, 11.87359, 2.374718, 4.749437, 67.49437, 0, 0, 6, 29.9306, 26.26016]),
    "RecordEachShot": (
        1,
        [0, 11.87359, 2.374718, 4.749437, 67.49437, 0, 0, 0, 6, 29.9306, 26.26016, 0.04456134],
    ),
    "RecordEachFineTuning": (
        1,
        [0, 9.856251, 2.868459, 3.942501, 53.40073, 21.06411, 0, 0, 6, 114.5879, 115.3734, 0.08544753],
    ),
    "RecordFineTuning": (
        1,
        [0, 10.74042, 2.148084, 4.296168, 63.79295, 19.40996, 0, 0, 6, 114.5879, 115.3734, 0.08544753],
    ),
    "RecordClients": (1, [0, 12.54933, 14.65552, 59.5779, 0, 0, 6, 5.604446, 4.860937]),
    "RecordGradients": (1, [0, 6.034305, 3.980903, 0.4002974, 145.519, 0.3492399]),
    "Upright": (1, [50409.23, 2.977763, 0.3844027, 4.573174]),
    "FreshSine": (1, [5.559871, 3.734306, 0.1698395, 15.82834]),
    "RecordCourse": (1, [0, 2.540302, 1.499801, 1.552869, 1.274491, 0.04906068, 9.582966, 10.14198]),
    "RecordError": (1, [0, 12.50078]),
    "RecordEvaluations": (
        1,
        [0, 9.827907, 9.827907, 28.36277, 8.846784, 3.931163, 168.5744, 19.98725, 24.08188, 24.23],
    ),
    "RecordGrid": (1, [0, 9.856251, 1.97125, 3.942501, 59.47172, 26.98685, 0.006389271, 55.74825]),
    "RecordMovement": (
        1,
        [
            0,
            10.1677,
            4.067081,
            88.69881,
            0,
            9.480519,
            3.792208,
            1.738137,
            1.828784,
            0.03033348,
            0,
            0,
            6,
            29.93056,
            26.26016,
        ],
    ),
    "RecordSearch": (
        1,
        [
            2.581902,
            2.831892,
            0.03558077,
            0.1664993,
            4.587084,
            21.95272,
            7.733249,
            0.925341,
            7862334,
            10.83268,
            0.05460912,
            0.1425887,
            6.863157,
            14.4675,
            4.930331,
            12.24906,
        ],
    ),
    "RecordSpectra": (
        1,
        [
            0,
            11.87359,
            2.374718,
            4.749437,
            52.21486,
            15.27951,
            0,
            6,
            29.07153,
            28.1374,
            0,
            0,
            6.31169,
            0.07568236,
            0.4303832,
            5.222077,
            0.04748948,
            0.1225416,
            0,
        ],
    ),
    "Watch": (1, [5.359736]),
    "WatchCharacters": (1, [92.23745]),
    "WatchComposition": (1, [1.769049]),
    "WatchCurvature": (1, [1.037128]),
}
"""By name: the revision, and the numbers that it gives. Whoever changes the numbers on purpose raises the
revision in `metalib/revisions.py` or `companion/revisions.py`, and puts both here."""
