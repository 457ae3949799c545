"""How the command line ends before its work is done: at a signal, or at an error that nobody expected."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metalib import __version__


class Terminated(KeyboardInterrupt):
    """SIGTERM came, as from a batch system whose time is up; it ends the work as an interruption does."""


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` while the block runs."""

    def stop(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # which alone may listen to signals
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def log(error: Exception) -> Path:
    """Write down where an unexpected error came from, and return the file."""
    with tempfile.NamedTemporaryFile("w", prefix="companion-", suffix=".log", delete=False) as file:
        file.write(f"companion {__version__}: {' '.join(sys.argv[1:])}\n\n")
        file.writelines(traceback.format_exception(error))
    return Path(file.name)
