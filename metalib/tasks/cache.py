"""What is computed once and kept: a folder of arrays per user.

Everything is written beside its destination and moved there in one step: an interruption, or a full
disk, leaves nothing half-cached, and the next attempt works.
"""

from __future__ import annotations

import os
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock

from metalib.errors import StoreError

Arrays = dict[str, np.ndarray]


def cache_folder() -> Path:
    """Return where arrays are kept: `METALIB_CACHE` if it is set, else the platform's cache folder."""
    chosen = os.environ.get("METALIB_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "metalib"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "metalib" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metalib"


def cached(name: str, build: Callable[[], Arrays]) -> Arrays:
    """Return the arrays kept under `name`; build and keep them if they are not there or damaged.

    Args:
        name: file name within `cache_folder()`; it must change whenever `build` would.
        build: computes the arrays.

    Raises:
        StoreError: if the folder cannot be written to, or the disk is full.
    """
    path = cache_folder() / name
    arrays = _read(path)
    if arrays is not None:
        return arrays
    with _clear_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{name}.lock"))
        lock.acquire()
    try:
        arrays = _read(path)  # another process may have built it while this one waited
        if arrays is None:
            arrays = build()
            with _clear_errors(path):
                _write(path, arrays)
    finally:
        lock.release()
    return arrays


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot keep {path.name} in {path.parent} ({error.strerror or error}); free some space there, "
            "or set METALIB_CACHE to a folder that can be written to, and run again"
        ) from error


def _read(path: Path) -> Arrays | None:
    """Return what is in the file, or nothing if it is absent or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _write(path: Path, arrays: Arrays) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
