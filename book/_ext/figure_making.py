"""How a figure was made: configuration, seeds, budget, versions, command; read from where it was computed."""

import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from figure_sources import Figure, parameters
from paper_claims import budget

import metalib
from companion.running.experiment import SEEDS

NAMES = {
    "algorithm": "method",
    "k": "inner steps k",
    "alpha": "inner step size α",
    "epsilon": "outer step size ε",
    "epsilon_final": "ε at the end",
    "tasks": "tasks per outer step",
    "inner": "inner optimizer",
    "beta1": "β₁",
    "outer": "outer update",
    "activation": "activation",
    "ways": "classes per task",
    "shots": "training images per class",
    "batch": "images or points per minibatch",
    "scheme": "minibatches",
}
"""The settings of a run and of its family of tasks, in the order in which they are told."""

SEVERAL = 6
"""As many values of a setting are told one by one."""

PACKAGES = ("torch", "numpy", "matplotlib")
TOLD = ("metalib", "python", "torch", "numpy")
"""What is told of the environment of a stored result, with its device."""


def settings(config: dict[str, Any]) -> list[str]:
    """Return the settings of all runs of a configuration in words."""
    values: dict[str, set[Any]] = {}
    for unit in config["units"]:
        for told in (unit["family"], *unit["runs"]):
            for name in NAMES.keys() & told.keys():
                values.setdefault(name, set()).add(told[name])
    return [
        f"{NAMES[name]}: {_several(values[name])}" for name in NAMES if values.get(name, {None}) != {None}
    ]


def _several(values: set[Any]) -> str:
    ordered = sorted((v for v in values if v is not None), key=lambda v: (isinstance(v, str), v))
    words = [f"{v:g}" if isinstance(v, int | float) else str(v) for v in ordered]
    return ", ".join(words) if len(words) <= SEVERAL else f"{words[0]} to {words[-1]} ({len(words)} values)"


def pinned(root: Path) -> str:
    """Return the versions that the notebooks were executed with."""
    text = (root / "requirements.txt").read_text()
    found = [(name, re.search(rf"^{name}==([^\s;]+)", text, flags=re.MULTILINE)) for name in PACKAGES]
    return ", ".join([f"metalib {metalib.__version__}", *(f"{name} {at[1]}" for name, at in found if at)])


def versions(environment: Mapping[str, Any]) -> str:
    """Return the versions and the device of a result; all of them if its units were not made alike.

    >>> versions({name: {**dict.fromkeys(TOLD, name), "device": "cpu"} for name in ("1", "2")})
    'metalib 1, python 1, torch 1, numpy 1; cpu, and metalib 2, python 2, torch 2, numpy 2; cpu'
    """
    each = [environment] if "torch" in environment else environment.values()
    texts = [f"{', '.join(f'{key} {one[key]}' for key in TOLD)}; {one['device']}" for one in each]
    return ", and ".join(dict.fromkeys(texts))


def of_result(root: Path, result: str, up: str) -> str:
    """Return what a stored result was made of, as HTML; `up` leads to the root of the book."""
    folder = root / "results" / result
    told = json.loads((folder / "provenance.json").read_text())
    config = told["config"]
    experiment, name = result.split("/")
    files = [*sorted(path.name for path in folder.glob("*.csv")), "provenance.json"]
    links = ", ".join(f'<a href="{up}results/{result}/{file}" download>{file}</a>' for file in files)
    seeds = ", ".join(map(str, config["seeds"]))
    command = f"python -m companion run {experiment} --budget {name}"
    if config["seeds"] != list(SEEDS):
        command += f" --seeds {seeds.replace(', ', ',')}"
    rows = {
        "Budget": f"{escape(name)}: {escape(budget(root, result))}",
        "Seeds": seeds,
        "Configuration": escape("; ".join(settings(config))),
        "Versions": escape(versions(told["environment"])),
        "Command": f"<code>{escape(command)}</code>",
        "Raw results": links,
    }
    return f"<p>Stored result <strong>{escape(result)}</strong></p>{_table(rows)}"


def _table(rows: dict[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows.items()) + "</dl>"


def made(figure: Figure, root: Path, source: Path, up: str) -> str:
    """Return how a figure was made, as HTML.

    Args:
        figure: which one.
        root: of the repository.
        source: the file of its page, from the root.
        up: leads from the page to the root of the book.
    """
    entry = figure.entry
    parts = [of_result(root, result, up) for result in entry.results]
    if entry.drawn:
        return f"<p>{escape(entry.drawn)}</p>"
    known = parameters(root / source)
    wanted = [line for line in known if not entry.parameters or line.split(" = ")[0] in entry.parameters]
    shown = ", ".join(
        f"<code>{escape(line)}</code>" for line in wanted if entry.parameters or not entry.results
    )
    rows = {
        "Notebook": f"<code>{source.as_posix()}</code>, the cell of <code>{figure.name}</code>",
        "Parameters": shown,
        "Versions": escape(pinned(root)),
        "Command": f"<code>make notebook NB={source.as_posix()}</code>",
    }
    parts.append("<p>Drawn on this page</p>" + _table({name: text for name, text in rows.items() if text}))
    return "".join(parts)
