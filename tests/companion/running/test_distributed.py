"""Training spread over ranks: equal to a single process, resumed after a loss, refused with a reason."""

import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from companion.running.distributed import VARIABLES, ranks
from metalib import store
from metalib.errors import InputError, WorkerError
from metalib.params import Params, select, subtract
from metalib.training.config import TrainingConfig
from metalib.training.loop import train
from tests.companion.running import rank as script
from tests.oracles import relative_error
from tests.tolerances import EXACT, ROUNDOFF

ROOT = Path(__file__).parents[3]
SCRIPT = str(Path(script.__file__))
SETTINGS = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def variables(rank: int, size: int, port: int) -> dict[str, str]:
    return dict(zip(VARIABLES, (str(rank), str(size), "127.0.0.1", str(port)), strict=True))


@pytest.fixture
def as_rank(monkeypatch):
    def set_variables(rank: int, size: int) -> int:
        port = free_port()
        for name, value in variables(rank, size, port).items():
            monkeypatch.setenv(name, value)
        return port

    return set_variables


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """What two ranks leave after `equal_and_refused`."""
    folder, port = tmp_path_factory.mktemp("two"), free_port()
    command = [sys.executable, SCRIPT, "equal_and_refused", str(folder)]
    started = [subprocess.Popen(command, env=SETTINGS | variables(rank, 2, port)) for rank in (0, 1)]
    assert [process.wait(timeout=60) for process in started] == [0, -9]
    return folder


def stored(path: Path) -> tuple[Params, torch.Tensor]:
    arrays = {name: torch.from_numpy(value) for name, value in store.load_arrays(path)[0].items()}
    return arrays, arrays.pop("history")


def assert_moved_alike(phi: Params, alone: Params, configs: list[TrainingConfig], tolerance: float) -> None:
    for r, config in enumerate(configs):
        start, run = script.DOUBLE.initialize(config.seed), slice(r, r + 1)
        moved, expected = subtract(select(phi, run), start), subtract(select(alone, run), start)
        assert relative_error(moved, expected) < tolerance, config


@pytest.mark.parametrize("name", script.STACKS)
def test_two_ranks_train_to_the_weights_and_losses_of_a_single_process(two, name):
    configs = script.STACKS[name]
    alone = train(script.DOUBLE, configs)
    expected = torch.tensor(alone.history[["loss_before", "loss_after"]].to_numpy(copy=True))
    for rank in (0, 1):
        phi, history = stored(two / f"{name}-{rank}.npz")
        assert_moved_alike(phi, alone.phi, configs, ROUNDOFF)
        torch.testing.assert_close(history, expected, rtol=EXACT, atol=0.0)


@pytest.mark.parametrize("name", script.STACKS)
def test_two_ranks_agree_bit_for_bit(two, name):
    (first, losses), (second, same) = (stored(two / f"{name}-{rank}.npz") for rank in (0, 1))
    assert torch.equal(losses, same)
    assert all(torch.equal(first[weight], second[weight]) for weight in first)


@pytest.mark.parametrize("change", [{"inner": "adam", "alpha": 0.001}, {"algorithm": "maml"}])
def test_one_rank_is_a_single_process_bit_for_bit_whatever_the_optimizer_carries(as_rank, change):
    as_rank(0, 1)
    configs = [replace(script.STACK[0], **change)]
    with ranks(timeout=10) as share:
        phi = train(script.DOUBLE, configs, share=share).phi
    alone = train(script.DOUBLE, configs).phi
    assert all(torch.equal(phi[weight], alone[weight]) for weight in alone)


def test_after_a_sigkill_torchrun_goes_on_from_the_checkpoint_to_the_same_weights(tmp_path):
    command = ["torch.distributed.run", "--nproc-per-node=2", "--max-restarts=1", "--master-addr=127.0.0.1"]
    command += [f"--master-port={free_port()}", SCRIPT, "killed_once", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", *command], env=SETTINGS, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    seen = {a: (tmp_path / f"attempt-{a}-1").read_text().split() for a in (0, 1)}
    assert seen[0] == ["0", "100", "200"], "rank 1 was killed after its second block"
    assert seen[1][0] in ("100", "200"), "the checkpoint of either block may have been the last"
    assert seen[1][-1] == "300"
    phi, _ = stored(tmp_path / "long-0.npz")
    assert_moved_alike(phi, train(script.DOUBLE, [script.LONG]).phi, [script.LONG], ROUNDOFF)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("indivisible", "InputError: 3 tasks per outer step cannot be divided among 2 ranks; choose .*"),
        ("carried", "InputError: .*carries its state .*; set inner to 'adam-fresh' or 'sgd'"),
        ("unequal", "InputError: rank 1 has configuration .*, rank 0 has .*; start every rank with the same"),
        ("damaged", "StoreError: .*damaged.npz is damaged .*"),
    ],
)
def test_what_cannot_be_shared_is_refused_on_every_rank(two, case, message):
    for rank in (0, 1):
        _, errors = store.load_arrays(two / f"errors-{rank}.npz")
        assert re.fullmatch(message, errors[case])
        assert "\n" not in errors[case]


def test_the_loss_of_a_rank_is_an_error_that_says_how_to_go_on(two):
    _, errors = store.load_arrays(two / "errors-0.npz")
    assert errors["lost"].startswith("WorkerError: rank 0 waits for another in vain (")
    assert errors["lost"].endswith("start again: it goes on from the checkpoint")


def test_a_rank_that_does_not_arrive_is_named(as_rank):
    as_rank(0, 3)
    with (
        pytest.raises(WorkerError, match=r"rank 1, 2 of 3 did not arrive within 0.2 s; start all"),
        ranks(0.2),
    ):
        pass


def test_a_rank_0_that_is_not_there_is_an_error(as_rank):
    port = as_rank(1, 2)
    with pytest.raises(WorkerError, match=rf"127.0.0.1:{port} does not answer .*; start rank 0"), ranks(0.5):
        pass


def test_a_script_that_torchrun_did_not_start_is_told_so(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=r"RANK, .* not set; start the script with torchrun"), ranks():
        pass
