"""Wrong: an Adam whose memory is modified in place. Nothing else in the companion uses it."""

from __future__ import annotations

from dataclasses import dataclass

from metalib.optimizers import Adam, State
from metalib.params import Params


@dataclass(frozen=True)
class AliasedAdam(Adam):
    """Adam that writes its second moment into the state it was given.

    Wrong: whoever handed over that state, such as training to evaluation, finds it changed.
    """

    def direction(self, g: Params, state: State) -> tuple[Params, State]:
        """Return the direction of Adam, and a state that shares its moments with the one before."""
        direction, following = super().direction(g, state)
        for name, value in state.moments["second"].items():
            value.copy_(following.moments["second"][name])
        return direction, State(following.steps, {**following.moments, "second": state.moments["second"]})
