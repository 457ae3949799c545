"""Results: tidy tables and arrays, with where they came from."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import metalib
from metalib.errors import StoreError
from metalib.store import digest, sha256, written_beside

PROVENANCE = "provenance.json"
ARRAYS = "arrays.npz"


@dataclass(frozen=True)
class Result:
    """The outcome of an experiment.

    Attributes:
        tables: tidy tables, one CSV file each.
        arrays: everything that is no table, such as trained weights; one NPZ file.
        provenance: configuration, seeds, versions, device, wall time.
    """

    tables: dict[str, pd.DataFrame]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def environment(device: str) -> dict[str, str]:
    """Return the versions and the device that a result depends on."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    return {
        "metalib": metalib.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": f"{device} ({name})",
        "threads": str(torch.get_num_threads()),
    }


def save_result(folder: Path, result: Result) -> None:
    """Write a result into its own folder, all or nothing: one CSV per table, arrays, provenance.

    The provenance lists the SHA-256 of every file, and the digest of its `config`.
    """
    with written_beside(folder) as temporary:
        temporary.mkdir()
        for name, table in result.tables.items():
            table.to_csv(temporary / f"{name}.csv", index=False, lineterminator="\n")
        if result.arrays:
            np.savez(temporary / ARRAYS, **result.arrays)  # type: ignore[arg-type]
        files = {path.name: sha256(path) for path in sorted(temporary.iterdir())}
        provenance = {**result.provenance, "files": files}
        (temporary / PROVENANCE).write_text(json.dumps(provenance, indent=1, ensure_ascii=False) + "\n")


def load_result(folder: Path, config: Any = None) -> Result:
    """Read a result and check that it is whole, and the one that was asked for.

    Args:
        folder: where `save_result` put it.
        config: what the result must have been computed from; any if `None`.

    Raises:
        StoreError: if the result is missing, damaged, or was computed from another configuration.
    """
    remedy = f"delete {folder} to compute it again"
    try:
        provenance = json.loads((folder / PROVENANCE).read_text())
        files = dict(provenance["files"])
    except FileNotFoundError:
        if folder.is_dir():
            raise StoreError(f"{folder / PROVENANCE} is missing; {remedy}") from None
        raise StoreError(f"there is no result in {folder}; run the experiment first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / PROVENANCE} is damaged ({error}); {remedy}") from error
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise StoreError(f"{path} is missing; {remedy}")
        if sha256(path) != expected:
            raise StoreError(f"{path} is damaged: its SHA-256 is not the one in {PROVENANCE}; {remedy}")
    if config is not None and digest(provenance.get("config")) != digest(config):
        raise StoreError(
            f"{folder} holds a result of another configuration; {remedy}, or name another folder"
        )
    tables = {name[:-4]: pd.read_csv(folder / name) for name in files if name.endswith(".csv")}
    arrays: dict[str, np.ndarray] = {}
    if ARRAYS in files:
        with np.load(folder / ARRAYS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    del provenance["files"]
    return Result(tables, arrays, provenance)
