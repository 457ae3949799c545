"""Time metalib beside other libraries, and store what was found: `make benchmarks`.

Every piece of work is done in a process of its own, on one thread, pinned to one processor where the system
can do that. The process keeps the memory that it frees, as `companion run` does, whoever is at work. The rows
go to `benchmarks/peers.csv`, what they were measured with to `benchmarks/peers.json`, which names the SHA-256
of the rows. With `--rounds 1 --out DIRECTORY` it is a rehearsal.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parents[1]
COLUMNS = ("work", "case", "library", "quantity", "round", "value")
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
}
ITERATIONS = 100
ROUNDS = {"machine": 21, "maml": 21, "reptile": 21, "omniglot": 15, "hvp": 15, "training": 6}
ORDER = ("machine", "maml", "reptile", "omniglot", "gradient", "hvp", "training")
PACKAGES = ("torch", "higher", "torchopt", "jax", "jaxlib", "optax", "numpy")


def cases() -> dict[str, Callable[[], dict[str, Any]]]:
    """Return what makes the cases of every work, by name."""
    from benchmarks.peers import work

    points = {point.name: point for point in work.points()}
    return {
        "maml": lambda: {"25 tasks": work.sine_batch()},
        "reptile": lambda: {"25 tasks": work.sine_batch()},
        "omniglot": lambda: {f"{runs} run{'s' * (runs > 1)}": work.omniglot_images(runs) for runs in (1, 4)},
        "hvp": lambda: points,
        "training": lambda: {f"12 runs, {ITERATIONS} iterations": work.sine_training(ITERATIONS)},
    }


def rows_of(name: str, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield all rows of one work."""
    import torch

    from benchmarks.peers import costs, timing, work
    from companion.running.allocator import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    if name == "machine":
        yield from timing.rates(rounds, 25 * costs.size_of(work.sine_batch().phi))
        return
    installed = timing.available()
    names = ("gradient", "hvp") if name == "hvp" else (name,)  # a product is told in gradients beside it
    for number, (case, task) in enumerate(cases()[name]().items()):
        those: list[timing.Ready] = []
        for each in names:
            able = [*timing.ready(each, task, installed)]
            told = [*timing.require_agreement(each, task, able), *costs.least(each, task)]
            yield from ({"work": each, "case": case, **row} for row in told)
            those += able
        rng = np.random.default_rng(number)
        yield from ({**row, "case": case} for row in timing.measure(those, rounds, rng))


def in_process(name: str, rounds: int) -> pd.DataFrame:
    """Measure one work in a new process and return its rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.csv"
        command = [sys.executable, "-m", "benchmarks.peers", "--only", name, "--rounds", str(rounds)]
        caches = {
            "TORCHINDUCTOR_CACHE_DIR": folder
        }  # what was compiled earlier would hide what compiling costs
        subprocess.run(
            [*command, "--rows", str(file)],
            check=True,
            cwd=HERE.parent,
            env={**os.environ, **ONE_THREAD, **caches},
        )
        return pd.read_csv(file)


def processor() -> str:
    """Return the model of the processor, as far as the system tells."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
    told = {name.strip(): value.strip() for name, value in facts.items()}
    if "model name" not in told:
        return platform.machine()
    return f"{told['model name']} (family {told.get('cpu family', '?')}, model {told.get('model', '?')})"


def conditions(rows: bytes, load: tuple[float, float]) -> dict[str, Any]:
    """Return what was measured with what."""
    from benchmarks.peers import timing

    installed = {peer.package for peer in timing.available(say=lambda line: None)}
    names = [name for name in PACKAGES if name in installed | {"numpy", "jaxlib", "optax"} and _has(name)]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {name: version(name).partition("+")[0] for name in names},
        "waiting": [round(value, 1) for value in load],
        "sha256": sha256(rows).hexdigest(),
    }


def _has(name: str) -> bool:
    try:
        version(name)
    except ModuleNotFoundError:
        return False
    return True


def waiting() -> float:
    """Return how many processes want the machine, as a mean over the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")


def store(tables: Sequence[pd.DataFrame], folder: Path, load: tuple[float, float]) -> None:
    """Write the rows of all works, in the order of `ORDER`, and what they were measured with."""
    rows = pd.concat(tables)
    rows = rows.sort_values("work", key=lambda works: works.map(ORDER.index), kind="stable")
    short = [float(f"{value:.6g}") for value in rows.value]
    rows = rows.assign(value=short, round=rows["round"].astype("Int64"))
    text = rows.to_csv(index=False, lineterminator="\n").encode()
    (folder / "peers.csv").write_bytes(text)
    (folder / "peers.json").write_text(json.dumps(conditions(text, load), indent=1) + "\n")


def main() -> None:
    """Measure, print medians, and store the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=ROUNDS, help="one work, in this process")
    parser.add_argument("--rounds", type=int, help="samples per library, instead of the usual number")
    parser.add_argument("--rows", type=Path, help="with --only: where its rows go")
    parser.add_argument("--out", type=Path, default=HERE, help="where the two files go")
    given = parser.parse_args()
    if given.only:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        table = pd.DataFrame(list(rows_of(given.only, given.rounds or ROUNDS[given.only])))
        table.reindex(columns=COLUMNS).to_csv(given.rows or sys.stdout, index=False)
        return
    given.out.mkdir(parents=True, exist_ok=True)  # before the hours, not after them
    before, tables = waiting(), []
    for name in np.random.default_rng().permutation(list(ROUNDS)):
        print(f"== {name}", flush=True)
        table = in_process(str(name), given.rounds or ROUNDS[str(name)])
        times = table[table.quantity == "ms"]
        print(times.groupby(["work", "case", "library"]).value.median().round(3).to_string(), flush=True)
        tables.append(table)
    store(tables, given.out, (before, waiting()))


if __name__ == "__main__":
    main()
