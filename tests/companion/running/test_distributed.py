"""Training spread over ranks: equal to a single process, resumed after a loss, refused with a reason."""

import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from companion import __main__ as command_line
from companion.running import distributed
from companion.running.distributed import VARIABLES, ranks
from metalib import store
from metalib.errors import InputError, WorkerError
from metalib.params import Params, select, subtract
from metalib.training.config import TrainingConfig
from metalib.training.loop import train
from tests.companion.running import rank as script
from tests.oracles import relative_error
from tests.tolerances import EXACT, FLOAT32, ROUNDOFF

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


def fork(checks: str, folder: Path, size: int) -> list[int]:
    """Let forked ranks do something, and return how each of them ended."""
    command = [sys.executable, SCRIPT, checks, str(folder), str(size)]
    environment = SETTINGS | variables(0, size, free_port())
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return [int(code) for code in done.stdout.split()]


@pytest.fixture(scope="module", params=[2, 4])
def left(request, tmp_path_factory) -> tuple[Path, int]:
    """What two and four ranks leave after `equal_and_refused`."""
    folder, size = tmp_path_factory.mktemp("ranks"), request.param
    assert fork("equal_and_refused", folder, size) == [0] * (size - 1) + [-9]
    return folder, size


def stored(path: Path) -> tuple[Params, torch.Tensor]:
    arrays = {name: torch.from_numpy(value) for name, value in store.load_arrays(path)[0].items()}
    return arrays, arrays.pop("history")


def assert_moved_alike(phi: Params, alone: Params, configs: list[TrainingConfig], tolerance: float) -> None:
    for r, config in enumerate(configs):
        start, run = script.DOUBLE.initialize(config.seed), slice(r, r + 1)
        moved, expected = subtract(select(phi, run), start), subtract(select(alone, run), start)
        assert relative_error(moved, expected) < tolerance, config


@pytest.mark.parametrize("name", script.STACKS)
def test_two_and_four_ranks_train_to_the_weights_and_losses_of_a_single_process(left, name):
    folder, size = left
    configs = script.STACKS[name]
    alone = train(script.DOUBLE, configs)
    expected = torch.tensor(alone.history[["loss_before", "loss_after"]].to_numpy(copy=True))
    for rank in range(size):
        phi, history = stored(folder / f"{name}-{rank}.npz")
        assert_moved_alike(phi, alone.phi, configs, ROUNDOFF)
        torch.testing.assert_close(history, expected, rtol=EXACT, atol=0.0)


@pytest.mark.parametrize("name", script.STACKS)
def test_all_ranks_agree_bit_for_bit(left, name):
    folder, size = left
    (first, losses), *others = (stored(folder / f"{name}-{rank}.npz") for rank in range(size))
    for other, same in others:
        assert torch.equal(losses, same)
        assert all(torch.equal(first[weight], other[weight]) for weight in first)


def test_compressed_displacements_of_all_ranks_are_averaged(left):
    """Each rank sends ones times 1 + its number; eight bits are wrong by half a step of 254 at most."""
    folder, size = left
    for rank in range(size):
        found = store.load_arrays(folder / f"compressed-{rank}.npz")[0]["w"]
        assert found == pytest.approx(np.full((2, 3), (1 + size) / 2), rel=1 / 254)


@pytest.mark.parametrize("change", [{"inner": "adam", "alpha": 0.001}, {"algorithm": "maml"}])
def test_one_rank_is_a_single_process_bit_for_bit_whatever_the_optimizer_carries(as_rank, change):
    as_rank(0, 1)
    configs = [replace(script.STACK[0], **change)]
    with ranks(timeout=300) as share:
        phi = train(script.DOUBLE, configs, share=share).phi
    alone = train(script.DOUBLE, configs).phi
    assert all(torch.equal(phi[weight], alone[weight]) for weight in alone)


def test_after_a_sigkill_torchrun_goes_on_from_the_checkpoint_to_the_same_weights(tmp_path):
    command = ["torch.distributed.run", "--nproc-per-node=2", "--max-restarts=1", "--master-addr=127.0.0.1"]
    command += [f"--master-port={free_port()}", SCRIPT, "killed_once", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", *command], env=SETTINGS, capture_output=True, text=True, timeout=600
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
        ("indivisible", "InputError: 5 tasks per outer step cannot be divided among [24] ranks; choose .*"),
        ("carried", "InputError: .*carries its state .*; set inner to 'adam-fresh' or 'sgd'"),
        ("unequal", "InputError: rank 1 has configuration .*, rank 0 has .*; start every rank with the same"),
        ("damaged", "StoreError: .*damaged.npz is damaged .*"),
    ],
)
def test_what_cannot_be_shared_is_refused_on_every_rank(left, case, message):
    folder, size = left
    for rank in range(size):
        _, errors = store.load_arrays(folder / f"errors-{rank}.npz")
        assert re.fullmatch(message, errors[case])
        assert "\n" not in errors[case]


def test_a_rank_that_is_lost_in_training_is_named_by_all_others_which_say_how_to_go_on(left):
    folder, size = left
    for rank in range(size - 1):
        _, errors = store.load_arrays(folder / f"errors-{rank}.npz")
        assert errors["lost"].startswith(f"WorkerError: rank {size - 1} is lost (")
        assert errors["lost"].endswith("start again: it goes on from the checkpoint")


def test_the_command_line_spreads_a_run_over_ranks_and_only_the_first_keeps_and_prints_it(
    tmp_path, monkeypatch
):
    assert fork("command", tmp_path, 2) == [0, 0]
    printed = [(tmp_path / f"output-{rank}").read_text() for rank in (0, 1)]
    assert "mean squared error after gradient steps" in printed[0]
    assert printed[1] == ""
    monkeypatch.setattr(sys, "argv", ["companion", *script.COMMAND.split(), str(tmp_path / "alone")])
    with pytest.raises(SystemExit, match="0"):
        command_line.main()
    tables = [
        pd.read_csv(next(tmp_path.glob(f"{way}/*/custom/adaptation.csv"))) for way in ("ranks", "alone")
    ]
    pd.testing.assert_frame_equal(*tables, rtol=100 * FLOAT32)


def test_a_rank_that_does_not_arrive_is_named(as_rank):
    as_rank(0, 3)
    with (
        pytest.raises(WorkerError, match=r"rank 1, 2 of 3 did not arrive within 1 s; start all"),
        ranks(1),
    ):
        pass


def test_rank_0_opens_its_own_port_however_short_the_wait_for_others(as_rank):
    """In a hundred microseconds no port answers, not even one's own."""
    as_rank(0, 3)
    with pytest.raises(WorkerError, match=r"2 of 3 did not arrive within 0.0001 s"), ranks(1e-4):
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


def test_without_torchrun_a_process_has_all_tasks(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with distributed.spread() as share:
        assert (share.rank, share.size) == (0, 1)


@pytest.mark.parametrize(("gpus", "chosen"), [(0, "gloo"), (2, "cpu:gloo,cuda:nccl")])
def test_tensors_on_gpus_travel_by_nccl_and_every_rank_of_a_machine_takes_its_own_gpu(
    monkeypatch, gpus, chosen
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    assert distributed.backend() == chosen
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [distributed.own_device(name) for name in ("cuda", "cuda:0", "cpu")] == ["cuda:1", "cuda:0", "cpu"]
