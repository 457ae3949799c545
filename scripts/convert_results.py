"""Convert results of version 1.0 to the present format, and show that no number changes.

python scripts/convert_results.py results
METALIB_OMNIGLOT=folder python scripts/convert_results.py results     # for results on Omniglot

Version 1.0 wrote what a result was made of as Python expressions, and left out how runs were scored; names
held facts that are columns now. Every stored configuration is compared, field by field, with the one that the
present code would run, and every column of every table, character by character, with what it was before.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from companion.catalogue import EXPERIMENTS
from companion.results import PROVENANCE, Result, load_result, save_result
from companion.running.assembly import with_facts
from companion.running.experiment import Unit


def as_dict(expression: str) -> dict[str, Any]:
    """Read an object that version 1.0 wrote as a Python expression.

    >>> as_dict("Sine(activation='tanh', batch=10)")
    {'kind': 'Sine', 'activation': 'tanh', 'batch': 10}
    """
    found: dict[str, Any] = _value(ast.parse(expression, mode="eval").body)
    return found


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return {"kind": node.func.id, **{str(word.arg): _value(word.value) for word in node.keywords}}
    if isinstance(node, ast.Tuple):
        return [_value(element) for element in node.elts]
    return ast.literal_eval(node)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return in what a stored unit differs from the one that the present code would run."""
    monitor = as_dict(old["monitor"]) if "monitor" in old else None
    if monitor:
        # A monitor's tasks are those of its unit now, and its settings have no name of their own.
        found = [] if monitor.pop("family") == as_dict(old["family"]) else ["the monitor's tasks"]
        monitor["scoring"].pop("kind")
    else:
        found = []
    plain = json.loads(json.dumps(new))
    pairs = {
        "name": (old["name"], plain["name"]),
        "family": (as_dict(old["family"]), plain["family"]),
        "runs": (old["runs"], plain["runs"]),
        "monitor": (monitor, plain["monitor"]),
    }
    return found + [name for name, (before, after) in pairs.items() if before != after]


def text_of(path: Path) -> pd.DataFrame:
    """Read a table as it is written, every cell a text."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def converted(table: pd.DataFrame, units: dict[str, Unit[Any]]) -> pd.DataFrame:
    """Return a table with the facts of its units as columns; texts stay as they are."""
    parts = []
    for name, rows in table.groupby("unit", sort=False):
        unit = units[str(name)]
        for fact, value in unit.facts.items():
            if fact in rows.columns and set(rows[fact]) != {str(value)}:
                fail(f"unit {name}: {fact} was {set(rows[fact])} and is {value!r} now")
        bare = rows.drop(columns=["unit", *(fact for fact in unit.facts if fact in rows.columns)])
        parts.append(with_facts(bare, unit))
    return pd.concat(parts, ignore_index=True)


def convert(folder: Path) -> str:
    """Convert one result in place; return what was compared."""
    stored = load_result(folder)
    config = stored.provenance["config"]
    if "format" in config:
        return "is of the present format"
    experiment = EXPERIMENTS.get(config["experiment"])
    if experiment is None:
        fail(f"{folder}: there is no experiment {config['experiment']!r} any more")
    budget, seeds = config["budget"], config["seeds"]
    identity = experiment.identity(budget, seeds)
    if len(config["units"]) != len(identity["units"]):
        fail(f"{folder}: {len(config['units'])} units are stored, {len(identity['units'])} would be run")
    for old, new in zip(config["units"], identity["units"], strict=True):
        if found := differences(old, new):
            fail(f"{folder}, unit {old['name']}: {', '.join(found)} differ from what would be run today")
    for name in ("iterations", "evaluation_tasks"):
        if config[name] != identity["budget"][name]:
            fail(f"{folder}: {name} is {config[name]}, and {identity['budget'][name]} today")
    units = {unit.name: unit for unit in experiment.units(experiment.budgets[budget], tuple(seeds))}
    before = {name: text_of(folder / f"{name}.csv") for name in stored.tables}
    after = {name: converted(table, units) for name, table in before.items()}
    cells = sum(compared(folder, name, before[name], after[name], units) for name in before)
    provenance = {**stored.provenance, "config": identity}
    save_result(folder, Result(after, stored.arrays, provenance))
    for name, table in before.items():
        compared(folder, name, table, text_of(folder / f"{name}.csv"), units)
    return f"{len(units)} units as today's code would run them, {cells:,} cells as they were"


def compared(
    folder: Path, name: str, before: pd.DataFrame, after: pd.DataFrame, units: dict[str, Unit[Any]]
) -> int:
    """Return how many cells of a table are what they were; end the program if one is not."""
    for column in before.columns:
        if list(before[column]) != list(after[column].astype(str)):
            fail(f"{folder / name}.csv: column {column} has changed")
    if name == "accuracy":
        for unit_name, rows in before.groupby("unit"):
            scoring = units[str(unit_name)].as_dict()["record"]["scoring"]
            if set(rows.tasks) != {str(scoring["tasks"])}:
                fail(f"{folder}: {unit_name} was scored on {set(rows.tasks)} tasks, not {scoring['tasks']}")
    return before.size


def fail(message: str) -> NoReturn:
    """Print the message and exit with 2; what was not converted stays as it is."""
    print(message, file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    """Convert every result below a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("results", type=Path, help="folder that holds all results")
    for provenance in sorted(parser.parse_args().results.glob(f"*/*/{PROVENANCE}")):
        print(f"{provenance.parent}: {convert(provenance.parent)}")


if __name__ == "__main__":
    main()
