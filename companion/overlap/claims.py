"""The claims of section 6.3, each from the stored runs to its verdict; page and tests call them."""

from __future__ import annotations

from companion.intervals import Interval, intervals_of
from companion.overlap import tails_foretold
from companion.overlap.evidence import Evidence as Evidence
from companion.overlap.settings import METHODS, REPTILE, SEPARATE
from companion.verdicts import Claim, decide, each, jointly

LABELS = {method.name: method.label for method in METHODS}
NO_OVERLAP = (REPTILE.name, SEPARATE.name)
"""The curves that should not degrade."""
MARGIN = 5.0
"""Percentage points within which accuracies of Figure 4 are alike: a seventh of the fall that it shows.
Set after these runs, and before any others."""
STARTS = {"random": "random weights", "reptile": "Reptile's", "shared-tail": "the shared tail's"}


def drop(good: int, bad: int) -> dict[str, float]:
    """Return the contrast by which the shared tail falls."""
    return {f"shared-cycling-{good}": 1, f"shared-cycling-{bad}": -1}


def drop_beyond(name: str, good: int, bad: int) -> dict[str, float]:
    """Return the contrast by which the shared tail falls further than the method of that name."""
    return {**drop(good, bad), f"{name}-{good}": -1, f"{name}-{bad}": 1}


def behind_separate(evidence: Evidence, ks: tuple[int, ...]) -> dict[int, Interval]:
    """Return by how much the shared tail is behind the separate one after k inner steps."""
    return {k: evidence.along_steps({f"separate-{k}": 1, f"shared-cycling-{k}": -1}) for k in ks}


def a_shared_tail_is_good_up_to_four_steps(evidence: Evidence) -> Claim:
    """Level with a separate tail as long as no image returns, up to k = 4."""
    behind = behind_separate(evidence, (2, 3, 4))
    return Claim(
        "shared tail, cycling: good up to four inner steps",
        f"Fig. 4a; as good as a separate tail, within {MARGIN:g} points",
        "behind the separate tail by "
        + ", ".join(f"{found:.1f} at k = {k}" for k, found in behind.items())
        + f" ({evidence.budget})",
        each(behind.values(), above=-MARGIN, below=MARGIN),
    )


def from_five_steps_on_it_is_worse(evidence: Evidence) -> Claim:
    """Behind a separate tail from k = 5 on; from 4 to 5 it falls further than others do."""
    behind = behind_separate(evidence, (5, 8))
    beyond = {name: evidence.along_steps(drop_beyond(name, 4, 5)) for name in NO_OVERLAP}
    return Claim(
        "from five inner steps on it is worse",
        "Fig. 4a",
        "behind the separate tail by "
        + ", ".join(f"{found:.1f} at k = {k}" for k, found in behind.items())
        + "; falls from 4 to 5 further than "
        + ", ".join(f"{LABELS[name]} by {extra:.1f}" for name, extra in beyond.items())
        + f" ({evidence.budget})",
        each([*behind.values(), *beyond.values()], above=0),
    )


def with_replacement_it_degrades_gradually(evidence: Evidence) -> Claim:
    """Drawn with replacement it falls twice, and less at first than by cycling."""
    first = evidence.along_steps({"shared-replacement-4": 1, "shared-replacement-5": -1})
    then = evidence.along_steps({"shared-replacement-5": 1, "shared-replacement-8": -1})
    less = evidence.along_steps({**drop(4, 5), "shared-replacement-4": -1, "shared-replacement-5": 1})
    return Claim(
        "with replacement it degrades gradually",
        "Fig. 4a",
        f"by {first:.1f} points from k = 4 to 5, which is {less:.1f} less than cycling, "
        f"and by {then:.1f} from 5 to 8 ({evidence.budget})",
        jointly(*(decide(found, above=0) for found in (first, then, less))),
    )


def larger_minibatches_do_the_same(evidence: Evidence) -> Claim:
    """From 25 to 35 and to 50 images the shared tail falls further than the others do."""
    beyond = {
        (name, size): evidence.along_batch(drop_beyond(name, 25, size))
        for size in (35, 50)
        for name in NO_OVERLAP
    }
    return Claim(
        "minibatches of more than 25 do the same",
        "Fig. 4b",
        "from 25 images on it falls further than "
        + ", ".join(f"{LABELS[name]} by {extra:.1f} to {size}" for (name, size), extra in beyond.items())
        + f" ({evidence.budget})",
        each(beyond.values(), above=0),
    )


def reptile_and_a_separate_tail_do_not_degrade(evidence: Evidence) -> Claim:
    """Neither loses more than the margin, with more steps or with larger minibatches."""
    steady = {name: evidence.along_steps({f"{name}-8": 1, f"{name}-4": -1}) for name in NO_OVERLAP}
    larger = {name: evidence.along_batch({f"{name}-50": 1, f"{name}-25": -1}) for name in NO_OVERLAP}
    return Claim(
        "Reptile and a separate tail do not degrade",
        f"Fig. 4a, 4b; not to degrade means to lose less than {MARGIN:g} points",
        "k from 4 to 8: "
        + ", ".join(f"{LABELS[name]} {change:.1f}" for name, change in steady.items())
        + "; 25 to 50 images: "
        + ", ".join(f"{LABELS[name]} {change:.1f}" for name, change in larger.items())
        + f" ({evidence.budget})",
        each([*steady.values(), *larger.values()], above=-MARGIN),
    )


def no_outer_step_size_helps(evidence: Evidence) -> Claim:
    """At every outer step size the shared tail is behind Reptile, and behind the separate tail at 1."""
    behind = evidence.behind(REPTILE.name)
    behind_best = {
        step: evidence.along_epsilon({"separate-1": 1, f"shared-cycling-{step:g}": -1})
        for step in (0.1, 0.3, 1, 4)
    }
    return Claim(
        "no outer step size helps",
        "Fig. 4c",
        "behind Reptile by "
        + ", ".join(f"{difference:.1f} at {step:g}" for step, difference in behind.items())
        + "; behind the separate tail at 1 by "
        + ", ".join(f"{difference:.1f} at {step:g}" for step, difference in behind_best.items())
        + f" ({evidence.budget})",
        each([*behind.values(), *behind_best.values()], above=0),
    )


def late_gradients_on_seen_images_are_worth_less(evidence: Evidence) -> Claim:
    """From each initialization, at every late step, the held-out loss falls less on images seen before."""
    poorer = evidence.worth["decrease"].query("images == 'difference'")
    found = {name: intervals_of(rows) for name, rows in poorer.groupby("initialization", sort=False)}
    return Claim(
        "late gradients on seen images are worth less",
        "section 6.3, as a hypothesis; asked of random weights and of trained ones",
        "a step on fresh images lowers the held-out loss by so much more, at steps 4, 5, 6: "
        + "; ".join(
            f"from {STARTS[str(name)]} {', '.join(f'{one:.3f}' for one in steps)}"
            for name, steps in found.items()
        )
        + f" nats ({evidence.late_budget})",
        jointly(*(each(steps, above=0) for steps in found.values())),
    )


def this_is_why_the_shared_tail_fails(evidence: Evidence) -> Claim:
    """With nothing else changed, a last minibatch of images seen before trains worse than a new one."""
    lost, won = (of(evidence.tails) for of in (tails_foretold.lost, tails_foretold.won_back))
    return Claim(
        "images seen before are why the shared tail fails",
        "section 6.3, part of the hypothesis",
        f"with k and minibatch fixed, a tail seen before ends {lost:.1f} points below a new one; stretched "
        f"to the length of a new gradient, its own wins back {won:.1f} of them "
        f"({tails_foretold.budget(evidence.tails)})",
        decide(lost, above=0),
    )


CLAIMS = (
    a_shared_tail_is_good_up_to_four_steps,
    from_five_steps_on_it_is_worse,
    with_replacement_it_degrades_gradually,
    larger_minibatches_do_the_same,
    reptile_and_a_separate_tail_do_not_degrade,
    no_outer_step_size_helps,
    late_gradients_on_seen_images_are_worth_less,
    this_is_why_the_shared_tail_fails,
)
"""The claims of the page, in its order."""


def ledger(evidence: Evidence) -> list[Claim]:
    """Return all claims of the page with their verdicts."""
    return [claim(evidence) for claim in CLAIMS]
