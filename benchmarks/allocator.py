"""What a step gains when the process keeps the memory that it frees (`companion.running.allocator`).

One step of the inner Adam on each of the paper's two networks, for minibatches as in section 6.1.
Each way has a process of its own, since a process that keeps its memory cannot go back; they take turns.
What is told is processor time, of which page faults are a part, on one thread. With `--store` the rows go to
`allocator.csv`, which a page of the book reads.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd
import torch

from companion.running.allocator import keep_freed_memory
from metalib.derivatives import MinibatchLoss, cross_entropy, value_and_gradient
from metalib.models.convnet import ConvNet, omniglot_net
from metalib.optimizers import Adam

HERE = Path(__file__).resolve().parent
NETWORKS = {
    "Omniglot network, 10 images": omniglot_net(5),
    "Mini-ImageNet network, 10 images": ConvNet(5, channels=3, size=84, filters=32, pooling=True),
}
ROUNDS = 9
STEPS = 40
IMAGES = 10


def measure(network: str) -> tuple[float, float, float]:
    """Return milliseconds and page faults of a step, and the most memory that the process held, in MB."""
    net, optimizer = NETWORKS[network], Adam(0.001)
    phi = net.initialize(0)
    state = optimizer.initial_state(phi)
    images = torch.rand(1, IMAGES, net.size, net.size, net.channels)
    labels = torch.arange(IMAGES)[None] % net.ways
    loss = MinibatchLoss(net, partial(cross_entropy, reduction="sum"), images, labels)

    def step() -> None:
        optimizer.step(phi, value_and_gradient(loss, phi)[1], state)

    for _ in range(3):
        step()
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
    for _ in range(STEPS):
        step()
    spent, after = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF)
    return 1e3 * spent / STEPS, (after.ru_minflt - before.ru_minflt) / STEPS, after.ru_maxrss / 1e3


def main() -> None:
    """Measure in a child if told to, else start the children, print medians, and store all rows if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs=2, metavar=("NETWORK", "MEMORY"), help="one way, in this process")
    parser.add_argument("--store", action="store_true", help="write allocator.csv")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.only:
        network, memory = given.only
        if memory == "kept":
            keep_freed_memory()
        print(*measure(network))
        return
    rows = []
    for network, number, way in product(NETWORKS, range(ROUNDS), ("handed back", "kept")):
        command = [sys.executable, __file__, "--only", network, way]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append((network, number, way, *(float(figure) for figure in told.split())))
    table = pd.DataFrame(rows, columns=["network", "round", "memory", "ms", "page_faults", "megabytes"])
    if given.store:
        table.round(3).to_csv(HERE / "allocator.csv", index=False, lineterminator="\n")
    print(table.drop(columns="round").groupby(["network", "memory"]).median().round(2).to_string())


if __name__ == "__main__":
    main()
