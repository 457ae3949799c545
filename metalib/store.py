"""What is kept on disk: digests, arrays with a header, and the one way in which files are written.

Everything is written beside its destination and moved there in one step, so that an interruption
leaves either the old file or the new one. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from metalib.errors import StoreError

_HEADER = "__header__"
_SEAL = b"sha256:"
_DIGITS = 64
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, OSError, RuntimeError, MemoryError, EOFError, ValueError),
    *(KeyError, TypeError, AttributeError, SyntaxError, OverflowError, UserWarning, RuntimeWarning),
)
"""What zipfile, NumPy and Pillow raise at content that is not what it says it is."""


def digest(config: Any) -> str:
    """Return a short hash of anything that JSON can hold; what JSON writes alike has equal hashes.

    >>> digest({"k": 5, "alpha": 0.02}) == digest({"alpha": 0.02, "k": 5})
    True
    """
    text = json.dumps(config, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Write arrays and a header to one NPZ file, all or nothing, sealed with the SHA-256 of its content.

    Raises:
        StoreError: if the disk does not take it; what was there before stays.
    """
    text = np.array(json.dumps(header, sort_keys=True))
    with written_beside(path) as temporary:
        with temporary.open("wb") as file:
            np.savez(file, **{_HEADER: text}, **arrays)  # type: ignore[arg-type]
        _seal(temporary)


def load_arrays(path: Path, *, sealed: bool = False) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_arrays` wrote.

    Args:
        path: the file.
        sealed: whether to refuse a file without a seal, as earlier versions wrote them. A seal that is there
            is checked either way, before anything else is read.

    Raises:
        StoreError: if the file is missing, damaged, or was not written by `save_arrays`.
    """
    _require_seal(path, sealed)
    arrays = read_npz(path)
    try:
        header = json.loads(str(arrays.pop(_HEADER)))
    except (KeyError, ValueError, RecursionError):
        raise _damaged(path, "it has no readable header") from None
    if not isinstance(header, dict):
        raise _damaged(path, "its header is no mapping")
    return arrays, header


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an NPZ file; nothing is unpickled.

    Raises:
        StoreError: if the file is missing, or is no whole NPZ file of plain arrays.
    """
    try:
        with warnings.catch_warnings(action="error"), path.open("rb") as raw:
            if not zipfile.is_zipfile(raw):
                raise _damaged(path, "it is no whole NPZ file")
            size = path.stat().st_size
            if any(member.file_size > size for member in zipfile.ZipFile(raw).infolist()):
                raise _damaged(path, "it unpacks to more than it holds")
            raw.seek(0)
            with np.load(raw, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise error if isinstance(error, StoreError) else _unopened(path, error) from None
    except UNREADABLE as error:
        # NumPy's own words name objects in memory, and advise to load pickles.
        pickled = "allow_pickle" in str(error)
        reason = "it holds pickled objects, which are never read" if pickled else "its arrays cannot be read"
        raise _damaged(path, reason) from None
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise _damaged(path, "it holds something that is no array")
    return arrays


def _seal(path: Path) -> None:
    """Write the SHA-256 of all that precedes it into the comment at the end of an NPZ file."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = _SEAL + b"0" * _DIGITS
    with path.open("r+b") as file:
        content = _digest_before_seal(file)
        file.seek(-_DIGITS, os.SEEK_END)
        file.write(content)


def _require_seal(path: Path, needed: bool) -> None:
    """Raise `StoreError` if the seal of a file is not that of its content, or is needed and not there."""
    try:
        with path.open("rb") as file:
            file.seek(-min(len(_SEAL) + _DIGITS, path.stat().st_size), os.SEEK_END)
            mark, _, digits = file.read().partition(_SEAL)
            there = not mark and len(digits) == _DIGITS
            if there and _digest_before_seal(file) != digits:
                raise _damaged(path, "its content does not match its SHA-256")
    except OSError as error:
        raise error if isinstance(error, StoreError) else _unopened(path, error) from None
    if needed and not there:
        raise _damaged(path, "it is cut off, or an earlier version wrote it: its SHA-256 is missing")


def _digest_before_seal(file: IO[bytes]) -> bytes:
    """Return the SHA-256, in hexadecimal digits, of all but the last digits of a file."""
    left = file.seek(0, os.SEEK_END) - _DIGITS
    file.seek(0)
    content = hashlib.sha256()
    while chunk := file.read(min(left, 2**20)):
        content.update(chunk)
        left -= len(chunk)
    return content.hexdigest().encode()


def _unopened(path: Path, error: OSError) -> StoreError:
    if isinstance(error, FileNotFoundError):
        return StoreError(f"{path} is not there")
    if isinstance(error, IsADirectoryError):
        return StoreError(f"{path} is a folder where a file belongs; move it away")
    return StoreError(f"{path} cannot be read: {error.strerror or error}")


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"{path} is damaged or is not a file of metalib ({reason}); delete it to compute it again"
    )


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
        with path.open("r+b") as file:  # Windows syncs only what can be written to
            os.fsync(file.fileno())


def _put(new: Path, target: Path, aside: Path) -> None:
    """Move `new` to `target`: in one step, but for a folder in its place, which comes back if that fails."""
    if not target.is_dir():
        new.replace(target)
        return
    if not new.is_dir():
        raise StoreError(f"{target} is a folder where a file belongs; move it away")
    try:
        target.rename(aside)
        new.replace(target)
    except BaseException:
        if aside.exists() and not target.exists():
            aside.rename(target)
        raise
