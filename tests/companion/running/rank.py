"""What one rank does in `test_distributed.py`: python rank.py CHECKS FOLDER."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from companion.running.distributed import Ranks, ranks
from metalib import store
from metalib.errors import MetalibError
from metalib.tasks.sine import Sine
from metalib.training import TrainingConfig, train
from metalib.training import loop as training

DOUBLE = Sine(dtype="float64")
STACK = [
    TrainingConfig(algorithm=algorithm, alpha=alpha, tasks=4, iterations=10, epsilon=0.01)
    for algorithm, alpha in (("reptile", 0.02), ("fomaml", 0.01), ("joint", 0.02))
]
STACKS = {
    "sgd-interpolate": STACK,
    "sgd-adam": [replace(config, outer="adam") for config in STACK],
    "adam-fresh-interpolate": [replace(STACK[0], inner="adam-fresh", alpha=0.001)],
}
LONG = TrainingConfig(tasks=2, k=2, iterations=300)


def keep(name: str, share: Ranks, folder: Path, **training_options) -> None:
    """Train a stack and keep its weights and history as `NAME-RANK.npz`."""
    trained = train(DOUBLE, STACKS[name], share=share, **training_options)
    arrays = {weight: value.numpy() for weight, value in trained.phi.items()}
    history = trained.history[["loss_before", "loss_after"]].to_numpy()
    store.save_arrays(folder / f"{name}-{share.rank}.npz", arrays | {"history": history}, {})


def refusal(share: Ranks, config: TrainingConfig, **options) -> str:
    """Return the error that training meets."""
    try:
        train(DOUBLE, [config], share=share, **options)
    except MetalibError as error:
        return f"{type(error).__name__}: {error}"
    return "trained"


def equal_and_refused(folder: Path) -> None:
    """Train every stack, then meet every error; the last is the loss of rank 1."""
    with ranks(timeout=30) as share:
        for name in STACKS:
            keep(name, share, folder)
        one = replace(STACK[0], iterations=1)
        damaged = folder / "damaged.npz"
        if share.rank == 0:
            damaged.write_bytes(b"not a checkpoint")
        errors = {
            "indivisible": refusal(share, replace(one, tasks=3)),
            "carried": refusal(share, replace(one, inner="adam")),
            "unequal": refusal(share, replace(one, seed=share.rank)),
            "damaged": refusal(share, one, checkpoint=damaged),
        }
        if share.rank == 1:
            store.save_arrays(folder / "errors-1.npz", {}, errors)
            os.kill(os.getpid(), signal.SIGKILL)
        errors["lost"] = refusal(share, one)
        store.save_arrays(folder / "errors-0.npz", {}, errors)


def killed_once(folder: Path) -> None:
    """Train with a checkpoint after every block; the first time, rank 1 is killed after the second."""
    training.CHECKPOINT_SECONDS = 0.0
    STACKS["long"] = [LONG]
    attempt = os.environ["TORCHELASTIC_RESTART_COUNT"]

    def callback(iteration: int) -> None:
        with (folder / f"attempt-{attempt}-{share.rank}").open("a") as file:
            file.write(f"{iteration}\n")
        if attempt == "0" and share.rank == 1 and iteration == 200:
            os.kill(os.getpid(), signal.SIGKILL)

    with ranks(timeout=30) as share:
        keep("long", share, folder, checkpoint=folder / "checkpoint.npz", callback=callback)


if __name__ == "__main__":
    torch.set_num_threads(1)
    globals()[sys.argv[1]](Path(sys.argv[2]))
