"""How the command line ends: well, at a signal, or at an error, which is one line."""

from __future__ import annotations

import errno
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import typer

from metalib import __version__
from metalib.errors import InputError, MetalibError

_OF_THE_DISK = {
    *(errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.EPIPE),
}
"""Errors that have nothing to do with the code."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came, as from a batch system whose time is up; it ends the work as an interruption does."""


@contextmanager
def stoppable() -> Iterator[list[int]]:
    """Let SIGTERM raise `Terminated`, and SIGINT `KeyboardInterrupt`, while the block runs.

    The second signal does not wait until the first has been heeded. Yields the numbers of those that came.
    """
    heard: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if heard:
            os._exit(128 + number)
        heard.append(number)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # which alone may listen to signals
        yield heard
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN or number == signal.SIGTERM:  # a shell's background ignores SIGINT
            signal.signal(number, stop)
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(call: Callable[[], object], as_typed: Callable[[str], str] = str) -> int:
    """Call something and return the exit code of the program, having said in one line what went wrong.

    It is 0 if all is well, 2 for an error on purpose, 1 for an unexpected one, whose log is named, and 128
    more than the number of a signal that came.

    Args:
        call: what to do; a whole number that it returns is the exit code.
        as_typed: puts a message into the words of the command line.
    """
    usage: type[Exception] = typer.BadParameter.__mro__[2]  # ClickException
    code, said = 0, ""
    with stoppable() as heard:
        try:
            returned = call()
            code = returned if isinstance(returned, int) else 0
            sys.stdout.flush()
        except (KeyboardInterrupt, typer.Abort):
            code, said = 1, "nothing was done"
        except MetalibError as error:
            code, said = 2, as_typed(str(error))
            if isinstance(error, InputError) and os.environ.get("RANK", "0") != "0":
                said = ""  # the first of several ranks says it for all
        except usage as error:
            message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
            code, said = 2, message and f"{message}; see --help"  # it is empty where help was printed
        except ImportError as error:
            name = (error.name or str(error)).partition(".")[0]
            code, said = 2, f"{name} is not installed; pip install 'metalib[companion]'"
            if name in ("companion", "metalib"):
                code, said = 1, _unexpected(error)
        except OSError as error:
            code, said = 2, f"cannot use {error.filename or 'the standard output'}: {error.strerror}"
            if error.errno not in _OF_THE_DISK:
                code, said = 1, _unexpected(error)
            elif not error.filename:
                _close_output()
        except Exception as error:
            code, said = 1, _unexpected(error)
        if heard:
            word = "terminated" if heard[0] == signal.SIGTERM else "interrupted"
            code, said = 128 + heard[0], f"{word}; the same command goes on from the last checkpoint"
    if said:
        print(f"companion: {one_line(said)}", file=sys.stderr)
    return code


def _unexpected(error: Exception) -> str:
    return f"unexpected {type(error).__name__}; report it with its log, {log(error)}"


def _close_output() -> None:
    """Have nothing more written to where nothing can be written, not even at the very end."""
    with suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def one_line(text: str) -> str:
    r"""Return a text with everything escaped that would break the line or the terminal.

    >>> one_line("a\nb")
    'a\\nb'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def log(error: Exception) -> Path:
    """Write down where an unexpected error came from, and return the file."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="companion-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"companion {__version__}: {one_line(' '.join(sys.argv[1:]))}\n\n")
        file.writelines(traceback.format_exception(error))
    return Path(file.name)
