"""What ranks do in `test_distributed.py`: python rank.py CHECKS FOLDER [SIZE].

With a SIZE, that many ranks are forked from this process, so that PyTorch is imported once for all of them.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from companion import __main__ as command_line
from companion.running.distributed import Ranks, ranks
from companion.scaling.compression import Compressed, Int8
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
    "sgd-nesterov": [replace(config, outer="nesterov") for config in STACK],
    "adam-fresh-interpolate": [replace(STACK[0], inner="adam-fresh", alpha=0.001)],
}
LONG = TrainingConfig(tasks=2, k=2, iterations=300)
COMMAND = "train --tasks 4 --iterations 20 --evaluation-tasks 3 --results"


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
    """Train every stack, then meet every error; the last is the loss of the last rank."""
    with ranks(timeout=300) as share:
        for name in STACKS:
            keep(name, share, folder)
        ones = {"w": torch.full((2, 3), 1.0 + share.rank)}
        mean, _ = Compressed.of(share, Int8(), feedback=False).mean(ones, torch.zeros(1))
        store.save_arrays(folder / f"compressed-{share.rank}.npz", {"w": mean["w"].numpy()}, {})
        one = replace(STACK[0], iterations=1)
        damaged = folder / "damaged.npz"
        if share.rank == 0:
            damaged.write_bytes(b"not a checkpoint")
        errors = {
            "indivisible": refusal(share, replace(one, tasks=5)),
            "carried": refusal(share, replace(one, inner="adam")),
            "unequal": refusal(share, replace(one, seed=share.rank)),
            "damaged": refusal(share, one, checkpoint=damaged),
        }
        if share.rank == share.size - 1:
            store.save_arrays(folder / f"errors-{share.rank}.npz", {}, errors)
            os.kill(os.getpid(), signal.SIGKILL)
        errors["lost"] = refusal(share, one)
        store.save_arrays(folder / f"errors-{share.rank}.npz", {}, errors)


def command(folder: Path) -> None:
    """Run the command line as torchrun would have it run."""
    os.environ["TORCHELASTIC_RUN_ID"] = "test"
    sys.argv = ["companion", *COMMAND.split(), str(folder / "ranks")]
    with (folder / f"output-{os.environ['RANK']}").open("w") as sys.stdout:
        command_line.main()


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

    with ranks(timeout=300) as share:
        keep("long", share, folder, checkpoint=folder / "checkpoint.npz", callback=callback)


def fork(size: int) -> list[int]:
    """Return 0 in each of `size` forked ranks; in this process, how each of them ended."""
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            os.environ.update(RANK=str(rank), WORLD_SIZE=str(size))
            return []
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 3 and (ended := fork(int(sys.argv[3]))):
        print(*ended)
    else:
        globals()[sys.argv[1]](Path(sys.argv[2]))
