"""The pieces of `make benchmarks` that need no other library: the same work for all, and who is missing."""

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers import costs, timing, work
from benchmarks.peers import torch_modules as modules
from tests.tolerances import EXACT, ROUNDOFF

HERE = timing.available(("plain", "torch_func", "metalib_"))
TINY = {
    "maml": work.sine_batch(tasks=2, k=3),
    "reptile": work.sine_batch(tasks=2, k=3),
    "omniglot": work.omniglot_images(runs=2, k=2, batch=5),
    "training": work.sine_training(iterations=4),
}


def ready(name, peers=HERE):
    return [*timing.ready(name, TINY[name], peers)]


def points():
    """The three networks on few images, as the large ones take seconds in double precision."""
    return [replace(p, inputs=p.inputs[:3], targets=p.targets[:3]) for p in work.points()]


@pytest.mark.parametrize("name", TINY)
def test_metalib_plain_loops_and_torch_func_do_the_same_work(name):
    rows = list(timing.require_agreement(name, TINY[name], ready(name)))
    off = {(row["library"], row["quantity"]): row["value"] for row in rows}
    assert {library for library, _ in off} == {"plain PyTorch", "torch.func", "metalib"}
    assert all(value < EXACT for (_, quantity), value in off.items() if quantity == "deviation, double")


@pytest.mark.parametrize("name", ["gradient", "hvp"])
def test_derivatives_of_all_three_networks_agree(name):
    for point in points():
        rows = list(timing.require_agreement(name, point, [*timing.ready(name, point, HERE)]))
        assert len(rows) == 2 * len(HERE)
        assert max(row["value"] for row in rows if row["quantity"] == "deviation, double") < EXACT


def test_who_computes_something_else_is_not_timed():
    wrong = replace(HERE[0], name="wrong", works={"maml": HERE[0].works["reptile"]})
    with pytest.raises(timing.DisagreementError, match=r"wrong differs from plain PyTorch by .* in maml"):
        list(timing.require_agreement("maml", TINY["maml"], ready("maml", [HERE[0], wrong])))


def test_a_peer_that_cannot_do_a_work_says_why_and_is_left_out():
    def unable(task):
        def call():
            raise work.UnableError("no compiler")

        return work.Entry(call, lambda found: found)

    said = []
    peers = [HERE[0], replace(HERE[0], name="other", works={"maml": unable})]
    found = [*timing.ready("maml", TINY["maml"], peers, said.append)]
    assert [one.peer.name for one in found] == ["plain PyTorch"]
    assert said == ["other is left out of maml: no compiler"]


def test_a_library_that_is_not_installed_is_named_and_left_out(monkeypatch):
    for module in ("higher", "benchmarks.peers.higher_"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "higher", None)
    said = []
    found = timing.available(("plain", "higher_"), said.append)
    assert [peer.name for peer in found] == ["plain PyTorch"]
    assert said == ["higher is left out: higher is not installed here; make benchmarks installs it"]


def test_an_error_in_our_own_files_is_no_missing_library():
    with pytest.raises(ModuleNotFoundError, match="no_such_peer"):
        timing.available(("no_such_peer",))


def test_every_library_takes_a_turn_in_every_round(monkeypatch):
    monkeypatch.setattr(timing, "SAMPLE", 0.0)
    rows = list(timing.measure(ready("maml"), 3, np.random.default_rng(0)))
    for turn in range(3):
        assert sorted(row["library"] for row in rows if row["round"] == turn) == sorted(p.name for p in HERE)
    assert all(row["value"] > 0 for row in rows)


@pytest.mark.parametrize("name", ["maml", "reptile", "omniglot"])
def test_the_products_alone_have_the_flops_of_the_floor(name):
    one = work.omniglot_images(
        runs=1, k=2, batch=5
    )  # the counter miscounts the derivatives of grouped convolutions
    task = one if name == "omniglot" else TINY[name]
    floor = timing.available(("floor",))[0].works[name](task)
    assert floor.found(None) == []
    with FlopCounterMode(display=False) as counter:
        floor.call()
    counted = next(row["value"] for row in costs.least(name, task) if row["quantity"] == "FLOP")
    dense = (
        2 * 3 * costs.Layer(5, 256, 5).flops if name == "omniglot" else 0
    )  # the last layer is no convolution
    assert math.isclose(counter.get_total_flops(), counted - dense, rel_tol=ROUNDOFF)


def test_a_gradient_of_metalib_has_the_flops_of_the_floor():
    """The derivative by the first layer's input, which nobody needs, is counted by neither."""
    for point in points():
        entry = HERE[-1].works["gradient"](point)
        with FlopCounterMode(display=False) as counter:
            entry.call()
        counted = next(row["value"] for row in costs.least("gradient", point) if row["quantity"] == "FLOP")
        assert math.isclose(counter.get_total_flops(), counted, rel_tol=ROUNDOFF), point.name


def test_weights_come_back_from_modules_as_they_went_in():
    for point in points():
        back = modules.from_module(modules.to_module(point.phi, point.net), point.phi, point.net)
        assert all((back[name] == value).all() for name, value in point.phi.items())
