"""What is kept on disk: digests, arrays with a header, and the one way in which files are written.

Everything is written beside its destination and moved there in one step, so that an interruption
leaves either the old file or the new one. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from metalib.errors import StoreError

_HEADER = "__header__"


def digest(config: Any) -> str:
    """Return a short hash of anything that JSON can hold; equal configurations have equal hashes.

    >>> digest({"k": 5, "alpha": 0.02}) == digest({"alpha": 0.02, "k": 5})
    True
    """
    text = json.dumps(config, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Write arrays and a header to one NPZ file, all or nothing.

    Raises:
        StoreError: if the disk does not take it; what was there before stays.
    """
    text = np.array(json.dumps(header, sort_keys=True))
    with written_beside(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{_HEADER: text}, **arrays)  # type: ignore[arg-type]


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
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, OSError) as error:
        raise StoreError(
            f"{path} is damaged or is not a file of metalib ({error}); delete it to compute it again"
        ) from error
    return arrays, header


@contextmanager
def written_beside(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to `target`; move it there if the block ends well, remove it if not.

    Args:
        target: a file or a folder; a folder in its place is replaced as a whole.

    Raises:
        StoreError: if the disk does not take it; what was there before stays.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise StoreError(f"cannot write to {target.parent}: {error.strerror}") from error
    try:
        yield folder / target.name
        _sync(folder / target.name)
        _put(folder / target.name, target, aside=folder / "replaced")
    except StoreError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"cannot write {target}: {reason}; free some space and run again") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(new: Path) -> None:
    """Have the disk take a file, or every file of a folder, so that it outlasts a power cut."""
    for path in new.iterdir() if new.is_dir() else [new]:
        with path.open("rb") as file:
            os.fsync(file.fileno())


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
