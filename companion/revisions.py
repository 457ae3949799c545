"""Revisions of all code that decides the numbers of results: metalib's, and that of what is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalib import revisions

revisions.REVISIONS.update(
    {
        "evaluation": 1,
        "FreshSine": 1,
        "LearningCurve": 1,
        "Pretraining": 1,
        "RecordAccuracy": 1,
        "RecordAdaptation": 1,
        "RecordClients": 1,
        "RecordCourse": 1,
        "RecordCurve": 1,
        "RecordEachFineTuning": 1,
        "RecordEachShot": 1,
        "RecordError": 1,
        "RecordEvaluations": 1,
        "RecordFineTuning": 1,
        "RecordGradients": 1,
        "RecordGrid": 1,
        "RecordMovement": 1,
        "RecordSearch": 1,
        "RecordSpectra": 1,
        "Upright": 1,
        "Watch": 1,
        "WatchCharacters": 1,
        "WatchComposition": 1,
        "WatchCurvature": 1,
    }
)

ALWAYS = ("training", "evaluation")
"""Code that decides the numbers of every result."""

KEY = "revisions"
"""The entry of an identity that holds them. One without it is of revision 1 throughout."""


def revised(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity: a configuration with the present revisions of the code that it names."""
    return {**config, KEY: revisions.revisions_of(config, ALWAYS)}


def without_revisions(config: Any) -> Any:
    """Return what an identity says of the configuration alone."""
    return (
        {name: value for name, value in config.items() if name != KEY} if isinstance(config, dict) else config
    )


def other_code(config: Any) -> str:
    """Say which code has been revised since a result with this identity was made; nothing if none was.

    >>> other_code({"family": {"kind": "Sine"}}), other_code({"revisions": {"training": 0}})
    ('', 'training of revision 0, now 1')
    """
    stored = config.get(KEY, {}) if isinstance(config, dict) else {}
    if not isinstance(stored, dict):
        return "revisions that cannot be read"
    present = revisions.revisions_of(without_revisions(config), (*ALWAYS, *map(str, stored)))
    changed = [name for name in sorted(present) if stored.get(name, 1) != present[name]]
    return ", ".join(f"{name} of revision {stored.get(name, 1)}, now {present[name]}" for name in changed)
