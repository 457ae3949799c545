"""What the paper claims, what was measured, and the verdict: the table that closes every notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
        verdict: `HOLDS`, `FAILS` or `PARTLY`, as `verdict` gives it, or `OPEN`.
    """

    name: str
    paper: str
    measured: str
    verdict: str


def verdict(*conditions: bool) -> str:
    """Return the verdict on a claim that is true if all conditions are.

    >>> verdict(True), verdict(False), verdict(True, False)
    ('holds', 'does not hold', 'holds in part')
    """
    if all(conditions):
        return HOLDS
    return PARTLY if any(conditions) else FAILS


def verdict_on_sign(low: float, high: float) -> str:
    """Return the verdict on the claim that a quantity is positive, from its interval: open if that holds 0.

    >>> verdict_on_sign(0.2, 1.0), verdict_on_sign(-1.0, -0.2), verdict_on_sign(-0.2, 1.0)
    ('holds', 'does not hold', 'not decided')
    """
    if low > 0:
        return HOLDS
    return FAILS if high < 0 else OPEN


def table(claims: Sequence[Claim]) -> str:
    """Return the claims as a Markdown table."""
    rows = [f"| {c.name} | {c.paper} | {c.measured} | **{c.verdict}** |" for c in claims]
    return "\n".join(["| claim | paper | measured | verdict |", "|:--|:--|:--|:--|", *rows])
