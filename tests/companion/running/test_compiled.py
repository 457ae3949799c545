"""The compiled outer step: the numbers of the plain one for every method, and a way back."""

from dataclasses import replace
from itertools import product

import pandas as pd
import pytest
import torch

from companion.budgets import Budget
from companion.implicit.training import ImplicitConfig
from companion.running import compiled as room
from companion.running import runner
from companion.running.compiled import (
    PAYS_FROM,
    compiled,
    obstacle,
)
from companion.running.traced import Captured, tensors_of, traced
from metalib.data.glyphs import glyphs
from metalib.errors import InputError
from metalib.optimizers import OPTIMIZERS
from metalib.params import norm, subtract
from metalib.tasks.fewshot import FewShot
from metalib.tasks.sine import Sine
from metalib.training import TrainingConfig, train
from metalib.training.config import ALGORITHMS
from metalib.training.minibatches import losses_of, sample_block
from metalib.training.outer import outer_step
from metalib.training.outer_optimizers import OUTER_OPTIMIZERS
from metalib.training.shares import Share
from tests.companion.running.sweep import SWEEP
from tests.tolerances import EXACT, FLOAT32

CPU = torch.device("cpu")
RUN = TrainingConfig(k=2, tasks=2, iterations=3)
needs_compiler = pytest.mark.skipif(bool(obstacle("cpu")), reason=obstacle("cpu") or "there is a compiler")


@pytest.fixture(autouse=True)
def _once(monkeypatch, tmp_path):
    """Every test compiles for itself, and may say its line again."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    room._say.cache_clear()
    torch._dynamo.reset()


def prepared(family, configs, width=1, count=2):
    """An outer step, its first state, and the losses of some iterations."""
    phi = [family.initialize(config.seed) for config in configs]
    phi = {name: torch.cat([one[name] for one in phi]) for name in phi[0]}
    step = outer_step(configs, width, CPU, next(iter(phi.values())).dtype)
    sampled = sample_block(family, configs, 0, width)
    return step, step.initial_state(phi), list(losses_of(family, sampled, count))


def apart(one, other, start) -> float:
    """How far two ends lie apart, of the way there from the start."""
    return float(norm(subtract(one, other)) / norm(subtract(one, start)))


def combinations():
    for algorithm, inner, outer in product(ALGORITHMS, OPTIMIZERS, OUTER_OPTIMIZERS):
        if algorithm != "maml" or inner == "sgd":
            weights = (0.0, 2.0) if algorithm == "combination" else ()
            yield replace(RUN, algorithm=algorithm, weights=weights, inner=inner, outer=outer, beta1=0.5)


@pytest.mark.parametrize("config", list(combinations()), ids=lambda c: f"{c.algorithm}-{c.inner}-{c.outer}")
def test_a_traced_step_is_the_step_for_every_method_and_optimizer(config):
    """Two iterations: what the first one leaves, counts of steps included, is what the second begins with."""
    step, state, (first, second) = prepared(Sine(dtype="float64"), [config])
    code = traced(step, state, first, 0.3)
    middle, values = step(state, first, 0.3)
    found = code(*tensors_of(state, first, 0.3))
    torch.testing.assert_close(found[0], values, rtol=EXACT, atol=EXACT)
    after, values = step(middle, second, 0.1)
    found = code(*tensors_of(middle, second, 0.1))
    torch.testing.assert_close(found[0], values, rtol=EXACT, atol=EXACT)
    ends = dict(zip(after.phi, found[1:], strict=False))
    assert apart(after.phi, ends, middle.phi) < EXACT


@pytest.mark.parametrize("algorithm", ["reptile", "maml"])
@pytest.mark.parametrize("width", [1, 2])
def test_runs_of_a_stack_keep_their_own_step_sizes(width, algorithm):
    own = ((0, 0.01, 0.1), (1, 0.02, 0.9))
    configs = [replace(RUN, algorithm=algorithm, seed=s, alpha=a, epsilon=e) for s, a, e in own]
    step, state, (first, second) = prepared(Sine(dtype="float64"), configs, width)
    epsilon = torch.tensor([0.1, 0.9], dtype=torch.float64)
    code = traced(step, state, first, epsilon)
    after, _ = step(state, second, epsilon / 2)
    found = dict(zip(after.phi, code(*tensors_of(state, second, epsilon / 2))[1:], strict=False))
    assert apart(after.phi, found, state.phi) < EXACT


@pytest.mark.parametrize("epsilon", [0.3, torch.tensor([0.3, 0.4])])
def test_compiled_code_is_given_tensors_that_lie_row_by_row(epsilon):
    """It does not look where they lie: an ε that is one number for all runs must not lie otherwise."""
    _, state, (first, _) = prepared(Sine(), [RUN, RUN])
    turned = replace(state, phi={name: v.mT.contiguous().mT for name, v in state.phi.items()})
    for given in (state, turned):
        assert all(tensor.is_contiguous() for tensor in tensors_of(given, first, epsilon))
    assert not all(value.is_contiguous() for value in turned.phi.values())


@pytest.mark.parametrize("algorithm", ["maml", "reptile"])
def test_captured_code_gives_the_same_numbers_from_buffers_of_its_own(algorithm):
    """As a CUDA graph does: arguments are copied in, results copied out, and nothing is handed out twice."""
    family = FewShot(glyphs(), shots=1, batch=5)
    step, state, (first, second) = prepared(family, [replace(RUN, algorithm=algorithm, tasks=1, alpha=0.001)])
    code = Captured(traced(step, state, first, 1.0), tensors_of(state, first, 1.0))
    kept = code(*tensors_of(state, first, 1.0))
    before = [tensor.clone() for tensor in kept]
    following = code(*tensors_of(state, second, 1.0))
    after, values = step(state, second, 1.0)
    torch.testing.assert_close(following[0], values, rtol=FLOAT32, atol=0)
    assert apart(after.phi, dict(zip(after.phi, following[1:], strict=False)), state.phi) < FLOAT32
    assert all(torch.equal(a, b) for a, b in zip(kept, before, strict=True))
    assert not torch.equal(kept[0], following[0])


def test_long_runs_of_small_networks_are_compiled_automatically(monkeypatch, capsys):
    short, _, _ = prepared(Sine(), [RUN])
    long, state, (first, _) = prepared(Sine(), [replace(RUN, iterations=PAYS_FROM)])
    assert compiled(short, "no") is short
    assert compiled(short, "auto") is short
    assert compiled(long, "no") is long
    traced_codes = []
    with monkeypatch.context() as patch:
        patch.setattr(room, "obstacle", lambda device: "")
        patch.setattr(room, "_for_processor", lambda code, example: traced_codes.append(code) or code)
        compiled(long, "auto")(state, first, 0.1)
    assert len(traced_codes) == 1
    step, state, (first, _) = prepared(
        FewShot(glyphs(), shots=1, batch=5), [replace(RUN, iterations=PAYS_FROM)]
    )
    monkeypatch.setattr(room, "_fast", None)  # of a large network, nothing is compiled
    compiled(step, "auto")(state, first, 0.1)
    assert capsys.readouterr().err == ""
    with pytest.raises(InputError, match=r"compile is 'yess'; choose one of no, auto, yes"):
        compiled(short, "yess")
    with pytest.raises(InputError, match="compile is 'maybe'"):
        replace(SWEEP, compile="maybe")


def test_without_a_compiler_training_goes_on_and_says_so_once(monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    plain = train(Sine(), [RUN])
    for _ in range(2):
        trained = train(Sine(), [RUN], prepare=compiled)
    assert all(torch.equal(trained.phi[name], value) for name, value in plain.phi.items())
    (line,) = capsys.readouterr().err.splitlines()
    assert "no C++ compiler no-such-compiler" in line
    assert line.endswith("training goes on without")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            lambda *_: (_ for _ in ()).throw(RuntimeError("it\ncrashed")),
            "RuntimeError: it;",
        ),
        (lambda step, state, losses, epsilon, after: lambda *a: step(state, losses, 0.9), "ends elsewhere;"),
    ],
    ids=["fails", "lies"],
)
def test_code_that_fails_or_gives_other_numbers_is_not_used(monkeypatch, capsys, broken, said):
    monkeypatch.setattr(room, "obstacle", lambda device: "")
    monkeypatch.setattr(room, "_fast", broken)
    plain, trained = train(Sine(), [RUN]), train(Sine(), [RUN], prepare=compiled)
    assert all(torch.equal(trained.phi[name], value) for name, value in plain.phi.items())
    assert said in capsys.readouterr().err


def test_a_run_that_has_diverged_does_not_keep_the_others_from_being_compiled(monkeypatch, capsys):
    """As after a resume; the first iteration is taken both ways, and the run that is lost is lost in both."""
    monkeypatch.setattr(room, "obstacle", lambda device: "")
    monkeypatch.setattr(room, "_for_processor", lambda code, example: code)
    step, state, (first, _) = prepared(Sine(), [RUN, replace(RUN, seed=1)])
    for value in state.phi.values():
        value[0] = float("nan")
    fast = compiled(step)
    fast(state, first, 0.1)
    assert capsys.readouterr().err == ""


def test_a_run_that_only_compiled_code_loses_is_a_difference():
    step, state, (first, _) = prepared(Sine(), [RUN, replace(RUN, seed=1)])
    after, values = step(state, first, 0.1)
    phi = {name: value.clone() for name, value in after.phi.items()}
    for value in phi.values():
        value[0] = float("nan")
    assert room._difference(step, state, (after, values), (replace(after, phi=phi), values))
    assert not room._difference(step, state, (after, values), (after, values))


def test_steps_that_take_derivatives_by_autograd_are_written_down_with_them(monkeypatch, capsys):
    """What a compiler is given, run as it is: a step of a convolutional network, which writes out nothing."""
    monkeypatch.setattr(room, "obstacle", lambda device: "")
    monkeypatch.setattr(room, "_for_processor", lambda code, example: code)
    step, state, (first, second) = prepared(FewShot(glyphs(), shots=1, batch=5), [replace(RUN, tasks=1)])
    fast = compiled(step)
    for losses in (first, second):
        expected, found = step(state, losses, 0.1)[0], fast(state, losses, 0.1)[0]
        assert apart(expected.phi, found.phi, state.phi) < FLOAT32
    assert capsys.readouterr().err == ""


def test_a_step_whose_operations_depend_on_its_numbers_is_not_compiled(monkeypatch, capsys):
    """Conjugate gradients stop early: code of one iteration's steps would be wrong in the next."""
    monkeypatch.setattr(room, "obstacle", lambda device: "")
    config = ImplicitConfig(strength=20.0, solver_steps=5, k=3, iterations=3, outer="adam", epsilon=0.001)
    plain, trained = train(Sine(), [config]), train(Sine(), [config], prepare=compiled)
    assert all(torch.equal(trained.phi[name], value) for name, value in plain.phi.items())
    assert "the outer step is not compiled" in capsys.readouterr().err


def test_tasks_that_are_shared_are_not_compiled(capsys):
    step, state, (first, _) = prepared(Sine(), [RUN])
    shared = compiled(replace(step, share=Alike(0, 2)))
    expected, found = step(state, first, 0.1)[0], shared(state, first, 0.1)[0]
    assert all(torch.equal(found.phi[name], value) for name, value in expected.phi.items())
    assert "shared with other processes" in capsys.readouterr().err


class Alike(Share):
    """A share among processes that all find the same."""


@needs_compiler
def test_training_compiled_ends_where_it_ends_plain_and_each_goes_on_with_the_other(tmp_path, capsys):
    """101 iterations, stopped after a block, and finished the other way, with MAML."""
    config = replace(RUN, algorithm="maml", iterations=101, tasks=1)
    family, start = Sine(dtype="float64"), Sine(dtype="float64").initialize(0)
    plain = train(family, [config])
    ends = {}
    for name, first, second in (("plain", None, compiled), ("compiled", compiled, None)):
        checkpoint = tmp_path / f"{name}.npz"
        with pytest.raises(KeyboardInterrupt):
            train(family, [config], checkpoint=checkpoint, prepare=first, callback=stop)
        ends[name] = train(family, [config], checkpoint=checkpoint, prepare=second)
    for trained in ends.values():
        assert apart(plain.phi, trained.phi, start) < 1e-9
        pd.testing.assert_frame_equal(trained.history, plain.history, rtol=1e-9)
    assert capsys.readouterr().err == ""


def test_an_experiment_compiled_has_the_same_identity_and_numbers(tmp_path, monkeypatch):
    """The code is traced, and run as it is: what a compiler makes of it, the test above shows."""
    steps = []
    monkeypatch.setattr(room, "obstacle", lambda device: "")
    monkeypatch.setattr(room, "_for_processor", lambda code, example: (steps.append(code), code)[1])
    budget = {"tiny": Budget(2, 1)}
    experiment = replace(SWEEP, budgets=budget, units=lambda b, s: SWEEP.units(b, s)[:1])
    plain = runner.run(experiment, "tiny", seeds=(0,), results=tmp_path / "plain")
    fast = runner.run(replace(experiment, compile="yes"), "tiny", seeds=(0,), results=tmp_path / "fast")
    assert len(steps) == 1
    assert fast.provenance["config"] == plain.provenance["config"]
    for name, table in plain.tables.items():
        pd.testing.assert_frame_equal(fast.tables[name], table, rtol=FLOAT32)


def stop(iteration: int) -> None:
    """End a training after its first block."""
    if iteration == 100:
        raise KeyboardInterrupt


def test_below_a_folder_with_a_space_pytorch_cannot_compile_and_that_is_said(monkeypatch):
    monkeypatch.setenv("CXX", "sh")  # any command that is there
    monkeypatch.setattr(torch, "__file__", "/a folder/torch/__init__.py")
    assert "below a folder with a space in its name" in obstacle("cpu")
    monkeypatch.setattr(torch, "__file__", "/folder/torch/__init__.py")
    assert obstacle("cpu") == ""
