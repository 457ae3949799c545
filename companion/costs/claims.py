"""Is MAML's trouble at many inner steps cost, memory or variance? What was predicted, and what came of it.

The predictions below were written down before `benchmarks/costs.py` and the experiment `sine-costs` were run.
What was known then: the earlier table `benchmarks/inner_steps.csv` (time and memory up to k = 20 and 50), the
noise at random weights on the page of questions, and a pilot of 1,000 iterations at k = 5 per method, which
told how long they take.

    time       From k = 4 to 64, processor time per step of every method but implicit MAML grows with an
               exponent in k within EXPONENT of 1; MAML's time over Reptile's stays the same within a factor
               FACTOR.
    memory     The peak of MAML unrolled grows with every step; by products it grows by the weights of a step,
               within WEIGHTS; those of FOMAML, Reptile and implicit MAML do not grow (less than a tenth of
               the weights per step).
    variance   With fresh minibatches the number of tasks over which MAML's meta-gradient must be averaged is
               no larger at k = 64 than at k = 4, at random weights and after 300 outer steps of Reptile.
    accuracy   With fresh minibatches MAML at k = 20 ends less than MARGIN above its error at k = 5, after as
               many outer steps. With minibatches that return, MAML at k = 20 ends higher than with fresh
               ones.
"""

from __future__ import annotations

import numpy as np

from companion.costs.summaries import Evidence
from companion.costs.ways import FOMAML, IMPLICIT, PRODUCTS, REPTILE, UNROLLED, WAYS
from companion.intervals import ONE_SEED, Interval, counted
from companion.sine.summaries import ahead
from companion.verdicts import Claim, decide, each, every

EXPONENT = 0.1
"""How far an exponent may lie from 1 and still be called proportional; chosen before the measurements."""
FACTOR = 1.25
"""Up to which factor two ratios of times count as the same; chosen before the measurements."""
WEIGHTS = 0.2
"""By which share the growth per step may differ from the size of the weights; chosen before."""
MARGIN = 0.1
"""Mean squared error that counts as no worse; the zero function has 4.25. Chosen before the runs."""
NETWORKS = ("sine", "Omniglot")
PLACES = {"random": "at random weights", "trained": "after 300 outer steps"}


def predictions(evidence: Evidence) -> list[Claim]:
    """Return the four predictions with what came of them."""
    return [_time(evidence), _memory(evidence), _variance(evidence), _accuracy(evidence)]


def _time(evidence: Evidence) -> Claim:
    exponents = {(n, m): evidence.exponent(n, m) for n in NETWORKS for m in WAYS if m != IMPLICIT}
    factors = {n: evidence.change_of_ratio(n, PRODUCTS, REPTILE) for n in NETWORKS}
    lowest = min(exponents.values(), key=lambda found: found.mean)
    highest = max(exponents.values(), key=lambda found: found.mean)
    return Claim(
        "time",
        f"in proportion to k: exponents within {EXPONENT:g} of 1, MAML's share within {FACTOR:g}",
        f"exponents from {lowest:.2f} to {highest:.2f}; from k = 4 to 64 MAML's time over Reptile's changes "
        + " and ".join(f"by a factor {_ends(found)} ({n})" for n, found in factors.items()),
        every(
            each(exponents.values(), above=1 - EXPONENT, below=1 + EXPONENT),
            each(factors.values(), above=1 / FACTOR, below=FACTOR),
        ),
    )


def _memory(evidence: Evidence) -> Claim:
    grown = {(n, m): evidence.weights_per_step(n, m) for n in NETWORKS for m in WAYS}
    flat = [grown[n, m] for n in NETWORKS for m in (FOMAML, REPTILE, IMPLICIT)]
    unrolled = [grown[n, UNROLLED] for n in NETWORKS]
    products = [grown[n, PRODUCTS] for n in NETWORKS]
    return Claim(
        "memory",
        "unrolled it grows; by products by the weights per step; the others stay",
        f"per step, in sizes of the weights: unrolled {' and '.join(f'{one:.2f}' for one in unrolled)}, "
        f"products {' and '.join(f'{one:.2f}' for one in products)}, "
        f"others at most {max(one.high for one in flat):.2f}",
        every(
            each(unrolled, above=0),
            each(products, above=1 - WEIGHTS, below=1 + WEIGHTS),
            each(flat, above=-0.1, below=0.1),
        ),
    )


def _variance(evidence: Evidence) -> Claim:
    changes = {place: evidence.noise_ratio(place, PRODUCTS, 4, 64) for place in PLACES}
    return Claim(
        "variance",
        "MAML's meta-gradient is no noisier at k = 64 than at k = 4",
        "noise over signal changes by a factor "
        + ", ".join(f"{_factor(found)} {PLACES[place]}" for place, found in changes.items()),
        each(changes.values(), below=0),
    )


def _accuracy(evidence: Evidence) -> Claim:
    more, harm = _more_steps(evidence), _returning(evidence)
    return Claim(
        "accuracy",
        f"fresh: k = 20 less than {MARGIN:g} above k = 5; returning: above fresh",
        f"fresh: {more:+.2f}; returning minus fresh at k = 20: {harm:+.2f} ({evidence.budget})",
        every(decide(more, below=MARGIN), decide(harm, above=0)),
    )


def _more_steps(evidence: Evidence) -> Interval:
    return ahead(evidence.scores("maml", "fresh", 5), evidence.scores("maml", "fresh", 20))


def _returning(evidence: Evidence) -> Interval:
    return ahead(evidence.scores("maml", "fresh", 20), evidence.scores("maml", "returning", 20))


def memory_grows(evidence: Evidence) -> Claim:
    """Both ways to MAML's gradient hold more with every step, and no other method does."""
    grown = {m: [evidence.weights_per_step(n, m) for n in NETWORKS] for m in WAYS}
    maml = [*grown[UNROLLED], *grown[PRODUCTS]]
    flat = [one for m in (FOMAML, REPTILE, IMPLICIT) for one in grown[m]]
    return Claim(
        "MAML's memory grows with every inner step",
        "section 1: it differentiates through all of them",
        f"per step, on the sine and the Omniglot network: unrolled "
        f"{' and '.join(f'{one.mean:.1f}' for one in grown[UNROLLED])} times the size of the weights, by "
        f"products {' and '.join(f'{one.mean:.1f}' for one in grown[PRODUCTS])}; the other methods at most "
        f"{max(max(one.high for one in flat), 0.0):.2f}",
        every(each(maml, above=0), each(flat, below=0.1)),
    )


def time_grows_faster(evidence: Evidence) -> Claim:
    """MAML's time over that of every other method rises by more than a factor `FACTOR` from k = 4 to 64."""
    others = {REPTILE: "Reptile's", FOMAML: "FOMAML's", IMPLICIT: "implicit MAML's"}
    factors = {(n, m): evidence.change_of_ratio(n, PRODUCTS, m) for m in others for n in NETWORKS}
    return Claim(
        "its time grows faster than that of the others",
        f"section 1, as a reading; faster means by a factor above {FACTOR:g}, set before",
        "from k = 4 to 64 its time over "
        + "; over ".join(
            f"{name} changes by {' and '.join(f'{_ends(factors[n, m])} ({n})' for n in NETWORKS)}"
            for m, name in others.items()
        )
        + "; intervals are of a power of k, fitted to five k",
        each(factors.values(), above=FACTOR),
    )


def noise_grows(evidence: Evidence) -> Claim:
    """With more steps MAML's meta-gradient must be averaged over more tasks."""
    changes = {place: evidence.noise_ratio(place, PRODUCTS, 4, 64) for place in PLACES}
    return Claim(
        "its gradient becomes noisier",
        "section 1, as a reading",
        "from k = 4 to 64 noise over signal changes by a factor "
        + ", ".join(f"{_factor(found)} {PLACES[place]}" for place, found in changes.items())
        + f" (sine waves, {counted(evidence.noise.seed.unique())})",
        each(changes.values(), above=0),
    )


def it_learns_worse(evidence: Evidence) -> Claim:
    """After as many outer steps MAML ends higher at k = 20 than at 5, though all minibatches are fresh."""
    more = _more_steps(evidence)
    return Claim(
        "with many steps it learns worse",
        f"section 1, as a reading; worse means by more than {MARGIN:g}, set before",
        f"error at k = 20 minus k = 5 with fresh minibatches: {more:+.2f} ({evidence.budget})",
        decide(more, above=MARGIN),
    )


CLAIMS = (memory_grows, time_grows_faster, noise_grows, it_learns_worse)
"""The claims of the page, in its order."""


def ledger(evidence: Evidence) -> list[Claim]:
    """Return all claims of the page with their verdicts."""
    return [claim(evidence) for claim in CLAIMS]


def _ends(factor: Interval) -> str:
    return f"{factor.mean:.2f} ({factor.low:.2f} to {factor.high:.2f})"


def _factor(found: Interval) -> str:
    """Write the exponential of an interval, whose ends are no longer at one distance."""
    if not np.isfinite(found.mean):
        return "that cannot be told (no signal)"
    ends = ONE_SEED if np.isnan(found.low) else f"{np.exp(found.low):.2g} to {np.exp(found.high):.2g}"
    return f"{np.exp(found.mean):.2g} ({ends})"
