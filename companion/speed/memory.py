"""What a step gains when its process keeps the memory that it frees (`benchmarks/allocator.py`)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from companion.speed.summaries import median_interval, short


def freed_memory(file: Path) -> pd.DataFrame:
    """Return the table of what `benchmarks/allocator.py` stored: a row per network.

    Args:
        file: the rows that it stored.
    """
    stored = pd.read_csv(file)
    rows = []
    for network, of_network in stored.groupby("network", sort=False):
        back, kept = (
            of_network[of_network.memory == way].sort_values("round") for way in ("handed back", "kept")
        )
        rows.append(
            (
                network,
                *(short(float(part.ms.median())) for part in (back, kept)),
                str(median_interval(back.ms.to_numpy() / kept.ms.to_numpy())),
                *(f"{part.page_faults.median():,.0f}" for part in (back, kept)),
            )
        )
    columns = ["handed back, ms", "kept, ms", "ratio", "page faults", "page faults, kept"]
    return pd.DataFrame(rows, columns=["network", *columns])
