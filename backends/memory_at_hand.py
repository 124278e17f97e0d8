"""Memory that a trial finds free and backed by the machine when its clock starts.

The host of a virtual machine takes free memory away after some seconds, and to get it again can cost more than to read
a checkpoint. Who takes the memory first would pay for its return, and a method that goes through the page cache fills
twice as much of it as one that does not. So everything that a trial will fill is taken and given back before the
clock, for everybody.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import torch

from backends.blocks import buffers
from backends.host import usable_cores
from backends.staging import populate
from backends.storage import available_memory_bytes
from state.units import MIB

#: What is left alone of the memory that is available: the system's own needs must not be pushed out.
RESERVE_BYTES: Final = 256 * MIB


def claim(size_bytes: int) -> int:
    """Take memory and give it back, so that it is at hand for whoever comes next.

    A host takes free memory away in blocks as large as huge pages
    (https://docs.kernel.org/mm/free_page_reporting.html), so those are what is asked for, by all cores.

    Args:
        size_bytes: How much.

    Returns:
        How much there was, at most what was asked for.
    """
    found_bytes = max(0, min(size_bytes, available_memory_bytes() - RESERVE_BYTES))
    if not found_bytes:
        return 0
    try:
        memory = torch.frombuffer(buffers(found_bytes), dtype=torch.uint8)
    except OSError:  # a system that promises no more memory than it has may refuse
        return 0
    with ThreadPoolExecutor(usable_cores()) as threads:
        for done in [threads.submit(populate, part) for part in memory.chunk(usable_cores())]:
            done.result()
    return found_bytes
