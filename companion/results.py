"""Results: tidy tables and arrays, with where they came from."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import metalib
from companion.revisions import other_code, without_revisions
from metalib.errors import StoreError
from metalib.store import digest, read_npz, sha256, written_beside

PROVENANCE = "provenance.json"
ARRAYS = "arrays.npz"
_SEAL = b',\n "sha256": "'
"""Precedes the last entry of a provenance: the SHA-256 of everything before it."""


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

    The provenance lists the columns of every table and the SHA-256 of every file, and ends in that of itself.

    Raises:
        StoreError: if the disk does not take it; what was there before stays.
    """
    with written_beside(folder) as temporary:
        temporary.mkdir()
        for name, table in result.tables.items():
            table.to_csv(temporary / f"{name}.csv", index=False, lineterminator="\n")
        if result.arrays:
            np.savez(temporary / ARRAYS, **result.arrays)  # type: ignore[arg-type]
        files = {path.name: sha256(path) for path in sorted(temporary.iterdir())}
        columns = {name: list(map(str, table.columns)) for name, table in result.tables.items()}
        provenance = {**result.provenance, "columns": columns, "files": files}
        (temporary / PROVENANCE).write_bytes(sealed(provenance))


def load_result(folder: Path, config: Any = None, *, of_other_code: bool = False) -> Result:
    """Read a result and check that it is whole, and the one that was asked for.

    Args:
        folder: where `save_result` put it.
        config: what the result must have been computed from; any if `None`.
        of_other_code: whether to read a result, too, that code of other revisions made.

    Raises:
        StoreError: if the result is missing, damaged, or was computed from another configuration, or by
            code that has been revised since.
    """
    remedy = f"delete {folder} or give --again to compute it again"
    provenance, columns, files = _provenance(folder, remedy)
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise StoreError(f"{path} is missing; {remedy}")
        if _sha256(path) != expected:
            raise StoreError(f"{path} is damaged: its SHA-256 is not the one in {PROVENANCE}; {remedy}")
    made_of = provenance.get("config")
    if config is not None and digest(without_revisions(made_of)) != digest(without_revisions(config)):
        raise StoreError(
            f"{folder} holds a result of another configuration; {remedy}, or name another folder"
        )
    if not of_other_code and (other := other_code(made_of)):
        raise StoreError(f"{folder} holds a result of other code ({other}); {remedy}, or name another folder")
    tables = {name[:-4]: _table(folder / name, remedy) for name in files if name.endswith(".csv")}
    for name, table in tables.items():
        if columns is not None and list(table.columns) != columns.get(name):
            found, wanted = list(table.columns), columns.get(name)
            raise StoreError(f"{folder / name}.csv has columns {found} instead of {wanted}; {remedy}")
    arrays = read_npz(folder / ARRAYS) if ARRAYS in files else {}
    return Result(tables, arrays, provenance)


def load_provenance(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the provenance of a result, which need not lie beside it, and check its seal.

    Args:
        path: the file, or the folder of the result.

    Returns:
        What the result was made of, and the SHA-256 of each of its files.

    Raises:
        StoreError: if it is missing or damaged.
    """
    folder = path if path.is_dir() else path.parent
    file = folder / PROVENANCE if path.is_dir() else path
    provenance, _, files = _provenance(folder, "copy it once more from where it came", file)
    return provenance, files


def sealed(provenance: dict[str, Any]) -> bytes:
    """Return a provenance as JSON, whose last entry is the SHA-256 of everything before it."""
    return _ended(json.dumps(provenance, indent=1, ensure_ascii=False).removesuffix("\n}").encode())


def _ended(text: bytes) -> bytes:
    """Return a JSON object that lacks its end, ended by the SHA-256 of what is there."""
    return text + _SEAL + hashlib.sha256(text).hexdigest().encode() + b'"\n}\n'


def _provenance(
    folder: Path, remedy: str, file: Path | None = None
) -> tuple[dict[str, Any], dict[str, list[str]] | None, dict[str, str]]:
    """Return the provenance of a result, the columns of its tables if it names them, and its files."""
    path = file or folder / PROVENANCE
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file where the folder of a result belongs; move it away")
    try:
        content = path.read_bytes()
        provenance = json.loads(content.decode())
    except FileNotFoundError:
        if folder.is_dir():
            raise StoreError(f"{path} is missing; {remedy}") from None
        raise StoreError(f"there is no result in {folder}; run the experiment first") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged ({_first_line(error)}); {remedy}") from None

    def require(condition: bool, reason: str) -> None:
        if not condition:
            raise StoreError(f"{path} is damaged ({reason}); {remedy}")

    require(isinstance(provenance, dict), "it does not list the files of the result")
    # Earlier versions wrote neither columns nor a seal. Whatever names one of them must have the other.
    if not {"sha256", "columns"}.isdisjoint(provenance):
        whole = _ended(content.rpartition(_SEAL)[0]) == content
        require(whole, "its content does not match its SHA-256, or that is not its last entry")
    provenance.pop("sha256", None)
    columns, files = provenance.pop("columns", None), provenance.pop("files", None)
    require(isinstance(files, dict), "it does not list the files of the result")
    require(columns is None or isinstance(columns, dict), "its columns are no mapping")
    for name in files:
        # A name that leads elsewhere would have a file believed that nobody computed here.
        outside = name in ("", ".", "..", PROVENANCE) or any(character in name for character in "/\\:\0")
        require(not outside, f"{name!r} is no file of this folder")
    return provenance, columns, files


def _sha256(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from None


def _table(path: Path, remedy: str) -> pd.DataFrame:
    """Read a table whose SHA-256 is right; what wrote it may still have been wrong."""
    try:
        return pd.read_csv(path)
    except ValueError as error:  # no columns, uneven rows, not UTF-8
        raise StoreError(f"{path} is no table ({_first_line(error)}); {remedy}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
