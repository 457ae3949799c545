"""Unfinished work: the folder that keeps it, the lock that only one process holds, and the log.

<results>/.unfinished/<experiment>-<budget>/      finished units, checkpoints, and log.txt
<results>/.unfinished/<experiment>-<budget>.lock  there while a process is at work on them
"""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from metalib.errors import MetalibError, StoreError

FOLDER = ".unfinished"
LOG = "log.txt"
LOG_SECONDS = 60.0
_REACHED = re.compile(r"^(\S+ \S+)  at (\d+\.\d) %", flags=re.MULTILINE)


def folder_of(results: Path, experiment: str, budget: str) -> Path:
    """Return the folder that keeps the unfinished work of an experiment under a budget."""
    return results / FOLDER / f"{experiment}-{budget}"


@contextmanager
def alone(folder: Path, wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of a folder of unfinished work; the system frees it however this process ends.

    Args:
        folder: which.
        wait: called if another process holds the lock, before waiting for it; an error it raises goes on.

    Raises:
        StoreError: if the disk does not take the lock.
    """
    path = folder.with_name(f"{folder.name}.lock")
    try:
        lock = _locked(path, wait)
    except OSError as error:
        raise (
            error
            if isinstance(error, StoreError)
            else StoreError(f"cannot write to {path.parent}: {error.strerror or error}")
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is held: those who wait for it notice, and take the next one
        lock.release()
        with suppress(OSError):
            path.parent.rmdir()  # unless something else is unfinished


def _locked(path: Path, wait: Callable[[], None]) -> FileLock:
    """Return a lock that is held; whoever held it before may remove the folder in the meantime."""
    lock = FileLock(path)
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
            return lock
        except Timeout:
            wait()
        except FileNotFoundError:
            continue
        with suppress(FileNotFoundError):
            lock.acquire()
            return lock


@dataclass
class Log:
    """What has happened to a run, line by line; a disk that is full does not end the run for it.

    Attributes:
        folder: of its unfinished work.
    """

    folder: Path
    _written: float = field(default=-LOG_SECONDS, init=False)

    def write(self, text: str) -> None:
        """Add a line, or several, with the date and time."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / LOG).open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {text}\n")

    def reached(self, done: int, total: int) -> None:
        """Note how far the run has come, once a minute."""
        if time.monotonic() - self._written >= LOG_SECONDS:
            self.write(share(done, total))
            self._written = time.monotonic()

    @contextmanager
    def until_the_end(self) -> Iterator[None]:
        """Write down how the block ends, unless it ends well; then the result says the rest."""
        try:
            yield
        except KeyboardInterrupt as stopped:
            self.write("interrupted" if type(stopped) is KeyboardInterrupt else "terminated")
            raise
        except MetalibError as error:
            if (self.folder / LOG).exists():  # what is refused before it begins leaves nothing behind
                self.write(f"ended: {error}")
            raise
        except Exception as error:
            self.write("".join(traceback.format_exception(error)).rstrip())
            raise


def share(done: int, total: int) -> str:
    """Return how much of the inner steps are done, as the log has it; never more than there is.

    >>> share(1, 3)
    'at 33.3 % of 3 inner steps'
    """
    return f"at {100 * min(done, total) / total:.1f} % of {total:,} inner steps"


def how_far(folder: Path) -> str:
    """Return what the log noted last, such as "33.3 % on 2026-01-31 12:00:00"; nothing without a log."""
    try:
        text = (folder / LOG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    noted = _REACHED.findall(text)
    return f"{noted[-1][1]} % on {noted[-1][0]}" if noted else ""
