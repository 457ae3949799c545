"""Tables and numbers of the page, of costs and of clients."""

from __future__ import annotations

import pandas as pd

from companion.intervals import Interval
from companion.personalization.claims import TUNED, Evidence, claims
from companion.personalization.figures import LOOKS
from companion.personalization.writers import KNOWN, NEW
from companion.scaling.summaries import Measured


def costs(measured: Measured) -> pd.DataFrame:
    """Return what one training over ranks takes: time, speed-up and waiting."""
    kinds = [
        ("one process", 1, "one process"),
        ("2 ranks", 2, "ranks"),
        ("2 that never talk", 2, "apart"),
        ("4 ranks", 4, "ranks"),
    ]
    rows = [
        (
            name,
            f"{measured.seconds(processes, setting).mean():.1f}",
            f"{measured.speed_up(processes, setting):.2f}" if processes > 1 else "1",
            f"{measured.waiting(processes):.0f}" if setting == "ranks" else "–",
        )
        for name, processes, setting in kinds
    ]
    names = ("seconds", "times as fast", "in averages (%)")
    return pd.DataFrame(rows, columns=["100 outer steps, 2 cores", *names])


def beyond(extrapolated: pd.DataFrame) -> pd.DataFrame:
    """Return what the model says of links beyond this machine, in words and round numbers."""
    table = extrapolated.assign(
        seconds=[f"{value:.2g}" if value < 10 else f"{value:,.0f}" for value in extrapolated.seconds],
        synchronous=[f"{value:.1f}" for value in extrapolated.synchronous],
        **{name: [f"{k:,}" for k in extrapolated[name]] for name in ("k", "k_int8", "k_overlapped")},
    )
    return table.rename(
        columns={
            "seconds": "one average (s)",
            "synchronous": "computing at k = 1 (%)",
            "k": "k for 90 %",
            "k_int8": "with 8 bits",
            "k_overlapped": "hidden",
        }
    )


def messages(compressed: pd.DataFrame) -> pd.DataFrame:
    """Return the ways to write a displacement: size, error and the loss that training ends with."""
    return pd.DataFrame(
        {
            "a message holds": compressed.setting,
            "size (%)": [f"{100 * value:.0f}" for value in compressed.bytes],
            "error of a message (%)": [f"{100 * value:.2g}" for value in compressed.error],
            "last loss, above that of float32": [
                _without_signed_zero(f"{value:.2f}") for value in compressed.loss
            ],
        }
    )


def _without_signed_zero(text: str) -> str:
    """Drop the sign of a mean that is written as zero, as in -0.00 ± 0.01, and of no other."""
    return text.removeprefix("-") if float(text.split()[0]) == 0 else text


def quoted(measured: Measured) -> dict[str, str]:
    """Return the numbers of costs that the text quotes."""
    links = measured.links.set_index(["k", "delay"])
    slowest = links.index.get_level_values("delay").max()
    slow = {k: {name: 1e3 * float(links[name].loc[(k, slowest)]) for name in links} for k in (1, 10)}
    return {
        "message": f"{measured.message / 1e3:.0f}",
        "slow_one": f"{slow[1]['seconds']:.0f}",
        "slow_ten": f"{slow[10]['seconds']:.0f}",
        "said_one": f"{slow[1]['predicted']:.0f}",
        "said_ten": f"{slow[10]['predicted']:.0f}",
        "faster": f"{measured.speed_up(2):.2f}",
        "ceiling": f"{measured.speed_up(2, 'apart'):.2f}",
        "waiting": f"{measured.waiting(2):.0f} %",
        "sending": f"{measured.sending:.0f} %",
        "hidden": f"{measured.hidden:.0f}",
        "link": f"{measured.link.bandwidth / 1e9:.1f} GB/s and {1e3 * measured.link.latency:.1f} ms",
    }


def served(evidence: Evidence) -> pd.DataFrame:
    """Return how clients are served by the common model, and after fine-tuning: in percent."""
    rows = []
    for method, look in LOOKS.items():
        cells = [look.label]
        for kind in (NEW, KNOWN):
            table = evidence.summary(kind).set_index(["method", "step"])
            for step in (0, TUNED):
                row = [float(table[name].loc[(method, step)]) for name in ("mean", "low", "high")]
                cells.append(f"{Interval(*row):.1f}")
        worst = evidence.summary(NEW).set_index(["method", "step"]).worst_tenth
        rows.append((*cells, f"{worst[(method, 0)]:.0f} → {worst[(method, TUNED)]:.0f}"))
    kinds = [f"{kind}, {when}" for kind in (NEW, KNOWN) for when in ("common", "own")]
    return pd.DataFrame(rows, columns=["accuracy (%)", *kinds, "a tenth lie below, new"])


def verdicts(evidence: Evidence) -> pd.DataFrame:
    """Return the predictions with what was measured."""
    found = claims(evidence)
    return pd.DataFrame(
        {
            "prediction": [claim.paper for claim in found],
            "measured": [claim.measured for claim in found],
            "verdict": [f"**{claim.verdict}**" for claim in found],
        }
    )


def told(evidence: Evidence) -> dict[str, str]:
    """Return the numbers of clients that the text quotes."""
    clients = evidence.per_client()
    gains = clients[("after", "mean")] - clients[("before", "mean")]
    tuned, common = (evidence.difference(("reptile", s), ("joint", s)).over_seeds.mean for s in (TUNED, 0))
    return {
        "ahead": f"{tuned:.1f}",
        "behind": f"{-common:.1f}",
        "gain": f"{evidence.difference(('reptile', TUNED), ('reptile', 0)).over_seeds.mean:.0f}",
        "worse": f"{int((gains < 0).sum())} of {len(gains)}",
    }


def amount(evidence: Evidence) -> str:
    """Return what the stored runs rest on, for the note below a figure."""
    config = evidence.runs.provenance["config"]
    rounds, seeds = config["budget"]["iterations"], len(config["seeds"])
    return f"{rounds} rounds of 10 clients and 10 steps; {seeds} seeds; {len(evidence.per_client())} clients"
