"""Scores that take hours, kept piece by piece, so that scoring goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from companion.running.experiment import Checkpoint
from metalib.errors import StoreError
from metalib.evaluation.classification import Accuracies
from metalib.store import load_arrays, save_arrays
from metalib.tasks.episodes import Episodes

TASKS = 50
"""Evaluation tasks of a piece: of Mini-ImageNet, about a minute of work."""

Judge = Callable[[Sequence[Episodes]], list[Accuracies]]
"""What scores R runs, each on its own tasks."""


@dataclass(frozen=True)
class Pieces:
    """Scores so far, by what was scored.

    Attributes:
        checkpoint: where they are kept; nowhere if `None`.
        callback: called with the inner steps taken so far, those of earlier attempts included.
        name: what is being scored; tells pieces apart.
        kept: [2, R, tasks] by name: accuracies with and without transduction.
    """

    checkpoint: Checkpoint | None = None
    callback: Callable[[int], None] | None = None
    name: str = ""
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    _taken: list[int] = field(default_factory=list)

    @classmethod
    def resumed(cls, checkpoint: Checkpoint | None, callback: Callable[[int], None] | None = None) -> Pieces:
        """Return what an earlier attempt has scored; nothing if there was none.

        Raises:
            StoreError: if the checkpoint is damaged, or belongs to something else.
        """
        if checkpoint is None or not checkpoint.path.exists():
            return cls(checkpoint, callback)
        kept, header = load_arrays(checkpoint.path, sealed=True)
        if header.get("identity") != checkpoint.identity:
            raise StoreError(
                f"{checkpoint.path} belongs to other runs or to other code; delete it to score anew"
            )
        return cls(checkpoint, callback, kept=kept)

    def of(self, name: str) -> Pieces:
        """Return the same pieces, for what is scored under that name below the present one."""
        return replace(self, name=f"{self.name}/{name}" if self.name else name)

    def score(self, judge: Judge, episodes: Sequence[Episodes], steps: int) -> list[Accuracies]:
        """Return the accuracies of all tasks; what is kept is not scored again.

        Args:
            judge: scores some tasks of every run.
            episodes: the tasks of each run, as many for one run as for another.
            steps: inner steps of a task.

        Raises:
            StoreError: if what is kept is not of so many runs and tasks.
        """
        tasks = len(episodes[0].query)
        parts = []
        for start in range(0, tasks, TASKS):
            name, shape = f"{self.name}/{start}", (2, len(episodes), min(TASKS, tasks - start))
            if name not in self.kept:
                some = judge([of_run.tasks(start, start + TASKS) for of_run in episodes])
                self.kept[name] = np.array([[a.transductive for a in some], [a.inductive for a in some]])
                self._save()
            if self.kept[name].shape != shape:
                where, found = self.checkpoint.path if self.checkpoint else "it", self.kept[name].shape
                raise StoreError(
                    f"{where} is damaged: {name} has shape {found}, not {shape}; delete it to score anew"
                )
            parts.append(self.kept[name])
            self._taken.append(shape[2] * steps)
            if self.callback:
                self.callback(sum(self._taken))
        return [Accuracies(*both) for both in np.concatenate(parts, axis=2).swapaxes(0, 1)]

    def _save(self) -> None:
        if self.checkpoint:
            save_arrays(self.checkpoint.path, self.kept, {"identity": self.checkpoint.identity})
