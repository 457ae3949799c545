"""What tells roundoff from a mistake: few-shot tasks in double precision, and an older processor."""

from dataclasses import fields, replace
from typing import Any

from torch import Tensor

from metalib.data.classes import ClassPool
from metalib.tasks.fewshot import FewShot

OLDER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
"""Variables with which the libraries below PyTorch take this processor for an older one: they use other
instructions, in another order."""


def in_double(family: FewShot) -> FewShot:
    """Return the same tasks and the same network, in double precision."""

    class Double(type(family)):
        @property
        def net(self):
            return replace(super().net, dtype="float64")

        def initialize(self, seed):
            return {name: value.double() for name, value in super().initialize(seed).items()}

    return Double(**_given(family) | {"pool": _DoublePool(**_given(family.pool))})


class _DoublePool(ClassPool):
    def gather(self, place: Tensor) -> Tensor:
        return super().gather(place).double()


def _given(made: Any) -> dict[str, Any]:
    """Return the arguments that a dataclass was made with."""
    return {field.name: getattr(made, field.name) for field in fields(made) if field.init}
