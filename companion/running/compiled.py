"""The outer step written down once and run as compiled code: the same numbers up to roundoff, sooner.

Steps of small networks spend most of their time between operations. A step is traced into its operations
on tensors, derivatives included, and PyTorch's compiler fuses them. On a GPU, the result is captured as a
CUDA graph with buffers of its own, so that one launch takes the whole step.

The first outer iteration is taken both ways. If the two differ by more than roundoff, or there is no
compiler, training goes on as it would have without, and says so in one line.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.fx import GraphModule
from tqdm import tqdm

from companion.running.traced import Captured, Code, Losses, state_of, tensors_of, traced
from metalib.errors import require_choice
from metalib.params import Factor, add, norm_per_run, subtract
from metalib.training.outer import OuterState, OuterStep

MODES = ("no", "auto", "yes")
PAYS_FROM = 16_000
"""Outer iterations from which "auto" compiles. Compiling takes as long as 2,000 to 16,000 iterations save
(`benchmarks/compiled.py`). Both grow with the operations of a step, so that k hardly matters."""
SMALL = 20_000
"""Weights of a network up to which "auto" compiles: larger ones spend their time inside operations."""
COMPILERS = ("g++", "clang++", "c++", "cl")

Take = Callable[[OuterState, Losses, Factor], tuple[OuterState, Tensor]]


def compiled(step: OuterStep, mode: str = "yes") -> OuterStep:
    """Return an outer step that compiles itself when it is first taken, or the step itself.

    What is decided depends on the configurations alone, so that training that is gone on with is compiled
    if it was, and ends bit for bit where it would have ended.

    Args:
        step: the outer step of a stack.
        mode: "yes", "no", or "auto" to compile from `PAYS_FROM` outer iterations on, and `SMALL` networks.

    Raises:
        InputError: if the mode is none of these.
    """
    require_choice("compile", mode, MODES)
    if mode == "no" or (mode == "auto" and step.configs[0].iterations < PAYS_FROM):
        return step
    return CompiledStep(**{each.name: getattr(step, each.name) for each in fields(step)}, auto=mode == "auto")


def obstacle(device: torch.device | str) -> str:
    """Say why nothing can be compiled for a device; nothing if it can be."""
    named = os.environ.get("CXX")
    if not any(map(shutil.which, [named] if named else COMPILERS)):
        return f"there is no C++ compiler {named or 'such as g++'}, which compiled code for {device} needs"
    headers = Path(sysconfig.get_path("include", "nt" if os.name == "nt" else "posix_prefix"))
    if not (headers / "Python.h").exists():
        return "there is no Python.h, which compiled code needs (python3-dev, in many distributions)"
    if " " in torch.__file__:  # its commands leave the folder without quotes
        return "PyTorch is installed below a folder with a space in its name, where it cannot compile"
    return ""


@dataclass(frozen=True)
class CompiledStep(OuterStep):
    """An outer step that is traced and compiled when it is first taken.

    Attributes:
        auto: whether to compile `SMALL` networks only.
        made: what takes the step; nothing before the first call.
    """

    auto: bool = False
    made: list[Take] = field(default_factory=list, compare=False)

    def __call__(self, state: OuterState, losses: Losses, epsilon: Factor) -> tuple[OuterState, Tensor]:
        """Return what `OuterStep` returns, up to roundoff."""
        if self.made:
            return self.made[0](state, losses, epsilon)
        plain = OuterStep(**{each.name: getattr(self, each.name) for each in fields(OuterStep)})
        expected = plain(state, losses, epsilon)
        if self.auto and sum(value[0].numel() for value in state.phi.values()) > SMALL:
            self.made.append(plain)
            return expected
        shared = "its tasks are shared with other processes" if self.share.size > 1 else ""
        fast, reason = None, shared or obstacle(_device(state))
        if not reason:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    fast = _fast(plain, state, losses, epsilon, expected[0])
                    found = fast(state, losses, epsilon)
            except Exception as error:  # of every kind that compilers and their drivers have
                reason = f"{type(error).__name__}: {str(error).strip():.120}".partition("\n")[0]
            else:
                reason = _difference(plain, state, expected, found)
        if reason or fast is None:
            _say(f"the outer step is not compiled: {reason}; training goes on without")
            self.made.append(plain)
            return expected
        self.made.append(fast)
        return found


def _fast(step: OuterStep, state: OuterState, losses: Losses, epsilon: Factor, after: OuterState) -> Take:
    """Return what takes the step as compiled code."""
    graph, example = traced(step, state, losses, epsilon), tensors_of(state, losses, epsilon)
    compile_for = _for_gpu if _device(state).type == "cuda" else _for_processor
    with torch.no_grad():  # derivatives are operations of the graph by now
        code = compile_for(graph, example)
    counted = after.inner.steps - state.inner.steps, after.outer.steps - state.outer.steps

    def fast(state: OuterState, losses: Losses, epsilon: Factor) -> tuple[OuterState, Tensor]:
        with torch.no_grad():
            values, *rest = code(*tensors_of(state, losses, epsilon))
        counts = [old.steps + more for old, more in zip((state.inner, state.outer), counted, strict=True)]
        return state_of(state, iter(rest), counts), values

    return fast


def _for_gpu(code: GraphModule, example: Sequence[Tensor]) -> Code:
    return Captured(torch.compile(code, dynamic=False), example)


def _for_processor(code: GraphModule, example: Sequence[Tensor]) -> Code:
    """Return compiled code without the checks that `torch.compile` makes in every call.

    They took a sixth of the time of a small step, and starting every kernel from Python another sixth.
    """
    for node in code.graph.nodes:
        node.meta.clear()  # what tracing has noted of the tensors is the compiler's to find out
    return torch._inductor.compile(code, list(example), options={"cpp_wrapper": True})


def _difference(
    step: OuterStep,
    state: OuterState,
    expected: tuple[OuterState, Tensor],
    found: tuple[OuterState, Tensor],
) -> str:
    """Say if two outcomes of a step differ by more than roundoff.

    Adam turns the roundoff of a gradient that vanishes into a whole step, as for the biases before a batch
    normalization, which change nothing; only the losses tell then.
    """
    eps = torch.finfo(expected[1].dtype).eps
    tolerance = eps ** (1 / 3)  # of a step through batch normalization and ReLU; wrong code is off by more
    alike = torch.allclose(found[1], expected[1], rtol=tolerance, atol=eps, equal_nan=True)
    if step.optimizer.plain and not step.outer.rule.remembers:
        there, here = expected[0].phi, found[0].phi
        moved, apart = (norm_per_run(subtract(there, other)) for other in (state.phi, here))
        close = apart <= tolerance * moved + 4.0 * eps * norm_per_run(add(there, here))
        lost = ~(norm_per_run(there).isfinite() | norm_per_run(here).isfinite())  # diverged, both ways
        alike = alike and bool((close | lost).all())
    return "" if alike else "compiled, its first iteration ends elsewhere"


def _device(state: OuterState) -> torch.device:
    return next(iter(state.phi.values())).device


@lru_cache
def _say(line: str) -> None:
    """Print a line on the standard error stream, once, above a progress bar."""
    tqdm.write(line, file=sys.stderr)
