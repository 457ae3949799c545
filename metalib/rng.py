"""Random numbers that depend on nothing but a seed, a purpose and a place in the stream."""

from __future__ import annotations

import numpy as np

from metalib.errors import require


def generator(seed: int, stream: str, block: int = 0) -> np.random.Generator:
    """Return the counter-based generator of one run, purpose and block (Philox; Salmon et al. 2011).

    Args:
        seed: the run's seed, at least 0.
        stream: such as "train"; streams whose first 8 bytes differ are independent of each other.
        block: which stretch of the stream; blocks are independent of each other.

    Raises:
        InputError: if the seed is negative.
    """
    require(seed >= 0, f"seed is {seed}; seeds are whole numbers from 0 up")
    key = int.from_bytes(stream.encode()[:8].ljust(8, b"\0"), "little")
    return np.random.Generator(np.random.Philox(key=[seed, key], counter=[0, 0, 0, block]))
