"""What is kept on disk: results with where they came from, and checkpoints of unfinished work.

Everything is written beside its destination and moved there in one step, so that an interruption
leaves either the old file or the new one. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import metalib
from metalib.errors import StoreError

PROVENANCE = "provenance.json"
ARRAYS = "arrays.npz"
_HEADER = "__header__"


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


def digest(config: Any) -> str:
    """Return a short hash of anything that JSON can hold; equal configurations have equal hashes.

    >>> digest({"k": 5, "alpha": 0.02}) == digest({"alpha": 0.02, "k": 5})
    True
    """
    text = json.dumps(config, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Write arrays and a header to one NPZ file, all or nothing.

    Raises:
        StoreError: if the disk does not take it; what was there before stays.
    """
    text = np.array(json.dumps(header, sort_keys=True))
    with _written_beside(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{_HEADER: text}, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_arrays` wrote.

    Raises:
        StoreError: if the file is missing, damaged, or was not written by `save_arrays`.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop(_HEADER)))
    except FileNotFoundError:
        raise StoreError(f"{path} is not there") from None
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
        raise StoreError(
            f"{path} is damaged or is not a file of metalib ({error}); delete it to compute it again"
        ) from error
    return arrays, header


def save_result(folder: Path, result: Result) -> None:
    """Write a result into its own folder, all or nothing: one CSV per table, arrays, provenance.

    The provenance lists the SHA-256 of every file, and the digest of its `config`.
    """
    with _written_beside(folder) as temporary:
        temporary.mkdir()
        for name, table in result.tables.items():
            table.to_csv(temporary / f"{name}.csv", index=False, lineterminator="\n")
        if result.arrays:
            np.savez(temporary / ARRAYS, **result.arrays)  # type: ignore[arg-type]
        files = {path.name: _sha256(path) for path in sorted(temporary.iterdir())}
        provenance = {**result.provenance, "files": files}
        (temporary / PROVENANCE).write_text(json.dumps(provenance, indent=1, ensure_ascii=False) + "\n")
        # Whoever has a result throws away what it was made from, so it must outlast a power cut.
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())


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
        if _sha256(path) != expected:
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


@contextmanager
def _written_beside(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to `target`; move it there if the block ends well, remove it if not."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise StoreError(f"cannot write to {target.parent}: {error.strerror}") from error
    try:
        yield folder / target.name
        _put(folder / target.name, target, aside=folder / "replaced")
    except StoreError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"cannot write {target}: {reason}; free some space and run again") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(new: Path, target: Path, aside: Path) -> None:
    """Move `new` to `target`: in one step, but for a folder in its place, which comes back if that fails."""
    if not target.is_dir():
        new.replace(target)
        return
    try:
        target.rename(aside)
        new.replace(target)
    except BaseException:
        if aside.exists():
            aside.rename(target)
        raise


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
