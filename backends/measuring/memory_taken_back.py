"""Does this machine's host take free memory back? Measured by filling fresh memory before and after idling.

It stays within the process that people see, so it knows no tensor library.
"""

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from backends.resources import usable_cores
from backends.storage.blocks import buffers
from backends.storage.folder import RESERVE_BYTES, available_memory_bytes
from state.analysis.memory_taken_back import FreshMemory
from state.units import MIB

_SIZE_BYTES: Final = 10**9
#: With less, the time is that of threads and not of memory.
LEAST_BYTES: Final = 16 * MIB
_TIMES_AT_HAND: Final = 3
#: A kernel tells its host of free memory about every 2 s (https://docs.kernel.org/mm/free_page_reporting.html), a part
#: of it at a time, so where other programs have just ended, memory of theirs may still be at hand after this.
IDLE_S: Final = 8.0


def measure_fresh_memory(size_bytes: int = _SIZE_BYTES, idle_s: float = IDLE_S) -> FreshMemory | None:
    """Fill fresh memory until it is at hand, then leave it alone, then fill it again.

    Args:
        size_bytes: How much at most: less where less is available.
        idle_s: How long to leave it alone.

    Returns:
        The times, or None where too little memory is available to tell anything.
    """
    size_bytes = min(size_bytes, available_memory_bytes() - RESERVE_BYTES)
    if size_bytes < LEAST_BYTES:
        return None
    try:
        _fill(size_bytes)
        at_hand_s = tuple(_fill(size_bytes) for _ in range(_TIMES_AT_HAND))
        time.sleep(idle_s)
        return FreshMemory(size_bytes, at_hand_s, idle_s, _fill(size_bytes))
    except OSError:  # a system that promises no more memory than it has may refuse
        return None


def _fill(size_bytes: int) -> float:
    """Write fresh memory, in huge pages where there are any, with all cores, and give it back. Returns the time."""
    with buffers(size_bytes) as memory, ThreadPoolExecutor(usable_cores()) as threads:
        part_bytes = -(-size_bytes // usable_cores())
        libc = ctypes.CDLL(None)  # its calls let other threads run
        start = (ctypes.c_char * size_bytes).from_buffer(memory)
        address = ctypes.addressof(start)
        begin_s = time.perf_counter()
        parts = [
            threads.submit(
                libc.memset,
                ctypes.c_void_p(address + offset),
                ctypes.c_int(1),
                ctypes.c_size_t(min(part_bytes, size_bytes - offset)),
            )
            for offset in range(0, size_bytes, part_bytes)
        ]
        for part in parts:
            part.result()
        filled_s = time.perf_counter() - begin_s
        del start  # or the memory could not be given back
    return filled_s
