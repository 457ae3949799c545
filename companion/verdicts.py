"""What the paper claims, what was measured, and the verdict: the table of every page.

Every verdict is decided from intervals, by one rule (`decide`):

- a claim *holds* if the 95 % interval of what was measured lies where the claim puts it;
- it *does not hold* if the interval lies outside;
- otherwise the runs have *not decided* it.

"Greater" and "smaller" put a difference on one side of 0. "Alike" puts it within a margin, which is fixed
before the runs, or said to be set after them. What is exact has an interval of length 0: its value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from companion.intervals import Interval
from companion.prose import typeset

HOLDS, FAILS, PARTLY = "holds", "does not hold", "holds in part"
OPEN = "not decided"
"""For what only a larger budget or more seeds than the stored runs' can decide."""


@dataclass(frozen=True)
class Claim:
    """One row of the ledger.

    Attributes:
        name: short name of the claim.
        paper: what the paper says, in our words.
        measured: what came out, with its budget and interval.
        verdict: what `decide`, `every` or `jointly` makes of it.
    """

    name: str
    paper: str
    measured: str
    verdict: str


def decide(found: Interval | float, *, above: float = -inf, below: float = inf) -> str:
    """Return the verdict on the claim that a quantity lies strictly between `above` and `below`.

    Bounds that an interval touches are not crossed, so such a claim is open. So is one whose interval is not
    a number, as where runs diverged, and one that was never measured (`intervals.UNMEASURED`).

    >>> gain, alike = Interval(0.5, 0.2, 0.8), Interval(0.1, -0.4, 0.6)
    >>> decide(gain, above=0), decide(gain, below=0), decide(alike, above=0)
    ('holds', 'does not hold', 'not decided')
    >>> decide(alike, above=-1, below=1), decide(gain, above=1, below=3)
    ('holds', 'does not hold')
    """
    low, high = (found.low, found.high) if isinstance(found, Interval) else (found, found)
    if above < low and high < below:
        return HOLDS
    return FAILS if high < above or low > below else OPEN


def every(*verdicts: str) -> str:
    """Return the verdict on a universal claim: one case that does not hold refutes it.

    >>> every(HOLDS, HOLDS), every(HOLDS, OPEN), every(HOLDS, OPEN, FAILS)
    ('holds', 'not decided', 'does not hold')
    """
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and set(verdicts) == {HOLDS} else OPEN


def each(found: Iterable[Interval | float], *, above: float = -inf, below: float = inf) -> str:
    """Return the verdict on the claim that every one of several quantities lies between the bounds.

    >>> each([1.0, 2.0], above=0), each([1.0, -2.0], above=0)
    ('holds', 'does not hold')
    """
    return every(*(decide(one, above=above, below=below) for one in found))


def jointly(*verdicts: str) -> str:
    """Return the verdict on several statements made in one claim, of which some may hold and others not.

    >>> jointly(HOLDS, FAILS), jointly(FAILS, FAILS), jointly(HOLDS, OPEN)
    ('holds in part', 'does not hold', 'not decided')
    """
    return PARTLY if {HOLDS, FAILS} <= set(verdicts) else every(*verdicts)


def negated(verdict: str) -> str:
    """Return the verdict on the opposite of a claim; what is partly right stays so.

    >>> negated(HOLDS), negated(FAILS), negated(OPEN)
    ('does not hold', 'holds', 'not decided')
    """
    return {HOLDS: FAILS, FAILS: HOLDS}.get(verdict, verdict)


def most(*verdicts: str) -> str:
    """Return the verdict on the claim that more than half of several cases hold.

    >>> most(HOLDS, HOLDS, FAILS), most(HOLDS, FAILS), most(HOLDS, OPEN, FAILS)
    ('holds', 'does not hold', 'not decided')
    """
    cases = len(verdicts)
    if 2 * verdicts.count(HOLDS) > cases:
        return HOLDS
    return FAILS if cases and 2 * verdicts.count(FAILS) >= cases else OPEN


def table(claims: Sequence[Claim]) -> str:
    """Return the claims as a Markdown table."""
    rows = [typeset(f"| {c.name} | {c.paper} | {c.measured} | **{c.verdict}** |") for c in claims]
    return "\n".join(["| claim | paper | measured | verdict |", "|:--|:--|:--|:--|", *rows])
