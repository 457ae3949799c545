"""The trained weights in the pages to play with; `python -m companion.playground.weights` writes them again.

Each file is a script that defines one constant, because a page that is opened from a disk may load scripts,
but no data. Weights are little-endian numbers in base64, one tensor after the other in the order of `shapes`.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from companion.results import ARRAYS, Result, load_result
from companion.sine.scores import initialization
from metalib.errors import MetalibError, require
from metalib.store import sha256, written_beside

SEED = 0
"""The run of every experiment that the pages show."""
SINE, SINE_UNIT = "sine-figure-1/paper", "tanh-interpolate"
SINE_METHODS = ("reptile", "maml", "joint", "random")
LETTERS, LETTERS_UNIT = "table2/laptop", "reptile-5-way"
FOLDER = Path("book/_static/playground")


def sine_weights(results: Path) -> dict[str, Any]:
    """Return what Reptile, MAML, joint training and no training left behind on sine waves (Fig. 1).

    Args:
        results: the folder that holds all results.

    Returns:
        `shapes`, and the `weights` of every method as float32.

    Raises:
        StoreError: if the stored run is missing or damaged.
    """
    result = load_result(results / SINE)
    config = _config(result, SINE_UNIT)
    runs = {method: initialization(result, SINE_UNIT, method, SEED) for method in SINE_METHODS}
    return {
        "source": _source(results, SINE, SINE_UNIT),
        "alpha": config["alpha"],
        "iterations": config["iterations"],
        "shapes": {name: list(value.shape[1:]) for name, value in runs["random"].items()},
        "weights": {
            method: _encode((v.numpy() for v in run.values()), "<f4") for method, run in runs.items()
        },
    }


def letters_weights(results: Path) -> dict[str, Any]:
    """Return what Reptile left behind on 5-way Omniglot (Table 2), and Adam's moments at its end.

    Adaptation starts from these moments, as the paper's evaluation does. They only scale the steps, so their
    square roots are kept as float16, to three digits.

    Args:
        results: the folder that holds all results.

    Returns:
        `shapes`, the `weights` φ as float32, the inner `steps` that Adam has counted, and `roots`, the square
        roots of the second moments of all weights but the biases of convolutions, whose gradient is zero.

    Raises:
        StoreError: if the stored run is missing or damaged.
    """
    result = load_result(results / LETTERS)
    config = _config(result, LETTERS_UNIT)
    parts: dict[str, dict[str, np.ndarray]] = {"phi": {}, "second": {}}
    for key, array in result.arrays.items():
        unit, part, name = key.split("/")
        if unit == LETTERS_UNIT:
            parts[part][name] = array[config["row"]]
    moving = [np.sqrt(second) for name, second in parts["second"].items() if not still(name)]
    return {
        "source": _source(results, LETTERS, LETTERS_UNIT),
        "alpha": config["alpha"],
        "steps": config["iterations"] * config["tasks"] * config["k"],
        "shapes": {name: list(value.shape) for name, value in parts["phi"].items()},
        "weights": _encode(parts["phi"].values(), "<f4"),
        "roots": _encode(moving, "<f2"),
    }


def still(name: str) -> bool:
    """Say whether a weight is the bias of a convolution: batch normalization takes it away again."""
    return name.startswith("bias_")


def script(constant: str, content: dict[str, Any]) -> str:
    """Return the script that defines a constant."""
    head = "// Written by `python -m companion.playground.weights` from the stored results."
    return f'"use strict";\n{head}\nconst {constant} = {json.dumps(content, indent=1)};\n'


def scripts(results: Path) -> dict[str, str]:
    """Return the name and the content of every file."""
    return {
        "sine_weights.js": script("sineWeights", sine_weights(results)),
        "letters_weights.js": script("lettersWeights", letters_weights(results)),
    }


def _encode(arrays: Iterable[np.ndarray], dtype: str) -> str:
    return base64.b64encode(b"".join(array.astype(dtype).tobytes() for array in arrays)).decode("ascii")


def _source(results: Path, name: str, unit: str) -> dict[str, Any]:
    """Return where weights came from, so that a copy of them can be traced and checked."""
    return {"result": name, "unit": unit, "seed": SEED, "sha256": sha256(results / name / ARRAYS)}


def _config(result: Result, unit: str) -> dict[str, Any]:
    """Return the configuration of the unit's run with our seed, and which row of its stack it is."""
    units = {one["name"]: one["runs"] for one in result.provenance["config"]["units"]}
    seeds = [run["seed"] for run in units[unit]]
    require(SEED in seeds, f"unit {unit} was run with seeds {seeds}; the pages play with seed {SEED}")
    row = seeds.index(SEED)
    return {**units[unit][row], "row": row}


def main() -> None:
    """Write the files into the folder of the pages, seen from the root of a checkout."""
    try:
        require(FOLDER.is_dir(), f"there is no folder {FOLDER} here; run this in the root of a checkout")
        written = scripts(Path("results"))
        for name, text in written.items():
            with written_beside(FOLDER / name) as temporary:
                temporary.write_text(text, encoding="ascii")
            print(f"{FOLDER / name}: {len(text):,} bytes")
    except MetalibError as error:
        print(f"companion: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
