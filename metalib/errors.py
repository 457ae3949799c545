"""Errors that a user can act on: what was wrong, what was expected, what to do."""


class MetalibError(Exception):
    """Base of every error raised on purpose; the command line prints it in one line and exits with 2."""


class InputError(MetalibError, ValueError):
    """An argument or a configuration value lies outside its range."""


class DivergenceError(MetalibError, ArithmeticError):
    """Training produced a number that is not finite."""


class WorkerError(MetalibError, RuntimeError):
    """A process that was doing part of the work was lost."""


class StoreError(MetalibError, OSError):
    """A stored file is missing, damaged, or belongs to something else."""


def require(condition: bool, message: str) -> None:
    """Raise `InputError(message)` unless `condition` holds."""
    if not condition:
        raise InputError(message)
