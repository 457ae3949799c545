"""Memory that is freed stays with the process, so that the next step finds it ready.

The C library of Linux hands large blocks back to the system as soon as they are freed. Every step of a
network on images asks for the same blocks again, and the system clears each of their pages first.
"""

from __future__ import annotations

import ctypes
import platform
from functools import lru_cache

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
"""Numbers of glibc's settings, from its `malloc.h`."""
LARGEST = 2**31 - 1
"""The most that `mallopt` takes: bytes of a block that is still cut from memory at hand, and bytes that may
lie free at the end of that memory."""
LARGEST_BLOCK_BEFORE = 2**25
"""The most for a block in older glibc, such as 2.33."""


@lru_cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, up to `LARGEST` bytes; numbers stay bit for bit.

    What it holds at its peak hardly grows; what it gains, `benchmarks/allocator.py` measures.

    Returns:
        Whether the C library knows how; glibc does, older ones for blocks up to `LARGEST_BLOCK_BEFORE`.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    blocks = (library.mallopt(M_MMAP_THRESHOLD, most) for most in (LARGEST, LARGEST_BLOCK_BEFORE))
    # Without the first, the second would keep glibc from adapting the first by itself.
    return any(blocks) and library.mallopt(M_TRIM_THRESHOLD, LARGEST) == 1
