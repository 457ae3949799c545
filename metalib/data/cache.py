"""What is computed once and kept: a folder of arrays per user."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from filelock import FileLock

from metalib.errors import StoreError, optional_module
from metalib.store import load_arrays, save_arrays

VARIABLE = "METALIB_CACHE"
Arrays = dict[str, np.ndarray]


def cache_folder() -> Path:
    """Return where arrays are kept: the folder that METALIB_CACHE names, or the platform's cache folder."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen)
    return Path(optional_module("pooch", "data").os_cache("metalib"))  # which nobody needs who names a folder


def cached(name: str, names: tuple[str, ...], build: Callable[[], Arrays]) -> Arrays:
    """Return the arrays kept under `name`; build and keep them if they are not there or damaged.

    Args:
        name: file name within `cache_folder()`; it must change whenever `build` would.
        names: those of the arrays.
        build: computes the arrays.

    Raises:
        StoreError: if the folder cannot be written to, or the disk is full.
    """
    path = cache_folder() / name
    if (arrays := _read(path, names)) is not None:
        return arrays
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{name}.lock"))
        lock.acquire()
    except OSError as error:
        raise StoreError(_remedy(path, error.strerror or str(error))) from error
    try:
        if (arrays := _read(path, names)) is None:  # another process may have built it in the meantime
            for left in path.parent.glob(f".{glob.escape(name)}.*/"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            arrays = build()
            try:
                save_arrays(path, arrays, {})
            except StoreError as error:
                raise StoreError(_remedy(path, str(error))) from error
    finally:
        with suppress(OSError):  # while it is held: those who wait take the next one; Windows refuses
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
    return arrays


def _remedy(path: Path, reason: str) -> str:
    return (
        f"cannot keep {path.name} in {path.parent} ({reason}); free some space there, "
        f"or set {VARIABLE} to a folder that can be written to, and run again"
    )


def _read(path: Path, names: tuple[str, ...]) -> Arrays | None:
    """Return what is in the file, or nothing if it is absent, damaged or something else."""
    with suppress(StoreError):
        arrays = load_arrays(path)[0]
        return arrays if arrays.keys() == set(names) else None
    return None
