"""The result of an experiment, put together from those of its units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from companion.results import Result
from companion.running.experiment import Unit
from companion.running.request import Request
from metalib.errors import StoreError


def merged(asked: Request, parts: Mapping[str, Result]) -> Result:
    """Put the units' tables below one another; the first columns name the unit and its facts.

    Args:
        asked: what was asked for.
        parts: what is kept of every unit, by name.

    Raises:
        StoreError: if a unit lacks what the others have.
    """
    units = {unit.name: unit for unit in asked.units}
    try:
        tables = {
            table: pd.concat(
                [with_facts(parts[name].tables[table], unit) for name, unit in units.items()],
                ignore_index=True,
            )
            for table in dict.fromkeys(table for name in units for table in parts[name].tables)
        }
        environments = {name: parts[name].provenance["environment"] for name in units}
        seconds = {name: parts[name].provenance["training_seconds"] for name in units}
    except KeyError as missing:
        raise StoreError(
            f"a unit in {asked.unfinished} has no {missing}; remove that folder to begin anew"
        ) from None
    common = environments[asked.units[0].name]
    alike = all(environment == common for environment in environments.values())
    provenance = {
        "config": asked.identity,
        "environment": common if alike else environments,
        "training_seconds": seconds,
    }
    arrays = {f"{name}/{key}": array for name in units for key, array in parts[name].arrays.items()}
    return Result(tables, arrays, provenance)


def with_facts(table: pd.DataFrame, unit: Unit[Any]) -> pd.DataFrame:
    """Return the table of a unit with columns that name it and hold its facts, before all others.

    Args:
        table: what was recorded.
        unit: of which unit.
    """
    known = {"unit": unit.name, **unit.facts}
    return table.assign(**known)[[*known, *table.columns]]
