"""Kill a random rank with SIGKILL, ten times, and compare what training ends with.

python scripts/kill_ranks.py [--times 10] [--seed 0]

torchrun trains sine waves over two ranks, in float64, and keeps a checkpoint after every 100 outer steps.
Each time one of the two is killed at a random moment of the training; torchrun starts both again, and they go
on. It prints by how much the final weights differ from those of a single process that nobody disturbed,
relative to how far they moved, and fails if that is more than roundoff. It takes some minutes, so it
is no test of every day; `tests/companion/running/test_distributed.py` kills once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from companion.running.distributed import ranks
from metalib import store
from metalib.params import norm, subtract
from metalib.tasks.sine import Sine
from metalib.training import TrainingConfig, loop, train

SIZE = 2
FAMILY = Sine(dtype="float64")
CONFIG = TrainingConfig(tasks=4, k=5, iterations=2_000, outer="nesterov", epsilon=0.02)
ROUNDOFF = 1e-10


def trained_by(folder: Path) -> None:
    """Train as one rank, and keep process number, progress and final weights in a folder."""
    torch.set_num_threads(1)
    loop.CHECKPOINT_SECONDS = 0.0
    with ranks(timeout=60) as share:
        number, progress = folder / f"rank-{share.rank}", folder / f"progress-{share.rank}"
        number.write_text(str(os.getpid()))

        def note(iteration: int) -> None:
            progress.write_text(str(iteration))

        done = train(FAMILY, [CONFIG], checkpoint=folder / "checkpoint.npz", share=share, callback=note)
        arrays = {name: value.numpy() for name, value in done.phi.items()}
        store.save_arrays(folder / f"final-{share.rank}.npz", arrays, {})


def killed(folder: Path, rank: int, moment: int) -> int:
    """Train over ranks, kill one after `moment` outer steps, and return how often torchrun started it."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={SIZE}", "--max-restarts=3"),
        *("--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", __file__, "--as-rank", str(folder)),
    ]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("w") as log, subprocess.Popen(command, env=settings, stderr=log) as running:
        progress = folder / f"progress-{rank}"
        while not progress.exists() or int(progress.read_text() or 0) < moment:
            time.sleep(0.01)
            assert running.poll() is None, (folder / "log").read_text()
        victim = (folder / f"rank-{rank}").read_text()
        os.kill(int(victim), signal.SIGKILL)
    assert running.returncode == 0, (folder / "log").read_text()
    return 1 + ((folder / f"rank-{rank}").read_text() != victim)


def main() -> None:
    """Kill as often as asked for."""
    parser = argparse.ArgumentParser(description="kill random ranks and compare the final weights")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--as-rank", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_rank:
        trained_by(given.as_rank)
        return
    torch.set_num_threads(1)
    undisturbed = train(FAMILY, [CONFIG]).phi
    moved = norm(subtract(undisturbed, FAMILY.initialize(CONFIG.seed)))
    rng, worst = random.Random(given.seed), 0.0
    for time_ in range(1, given.times + 1):
        rank, moment = rng.randrange(SIZE), 100 * rng.randrange(1, CONFIG.iterations // 100 - 2)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            starts = killed(folder, rank, moment)
            for other in range(SIZE):
                arrays, _ = store.load_arrays(folder / f"final-{other}.npz")
                phi = {weight: torch.from_numpy(value) for weight, value in arrays.items()}
                error = float(norm(subtract(phi, undisturbed)) / moved)
                worst = max(worst, error)
        print(
            f"{time_:2}: rank {rank} killed after {moment} steps, started {starts} times, {error:.1e}",
            flush=True,
        )
    print(f"largest relative difference of the final weights: {worst:.1e}")
    sys.exit(worst > ROUNDOFF)


if __name__ == "__main__":
    main()
