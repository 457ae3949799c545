"""What a whole training takes beside a plain loop (`benchmarks/sine_training.py --store`)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

NAMES = {
    "plain": "plain loop, one run after another",
    "stack": "metalib, one stack",
    "compiled": "metalib, one stack, compiled",
}


def whole_training(file: Path) -> pd.DataFrame:
    """Return the table of processor seconds, compiling included, and of shares of the plain loop's.

    Args:
        file: the rows that the benchmark stored.
    """
    stored = pd.read_csv(file).set_index("way").processor_seconds
    return pd.DataFrame(
        [(name, f"{stored[way]:.0f}", f"{stored[way] / stored.plain:.3f}") for way, name in NAMES.items()],
        columns=["all runs", "seconds", "of the plain loop"],
    )
