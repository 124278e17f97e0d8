"""Memory that a trial finds free and backed by the machine when its clock starts.

The host of a virtual machine takes free memory away after some seconds, and to get it again can cost more than to read
a checkpoint. Who takes the memory first would pay for its return, and a method that goes through the page cache fills
twice as much of it as one that does not. So everything that a trial will fill is taken and given back before the
clock, for everybody.

That it is at hand then is not believed but seen: it is taken once more, and no piece of it may take much longer than
memory does that was given back a moment ago.
"""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import torch

from backends.resources import usable_cores
from backends.storage.blocks import buffers
from backends.storage.buffers import give_back, populate
from backends.storage.folder import RESERVE_BYTES, available_memory_bytes
from state.units import MIB

#: One time is taken for so much: milliseconds where memory is at hand.
PIECE_BYTES: Final = 64 * MIB
#: A piece that takes so many times as long as memory that is surely at hand was not. Memory from the host takes 40 to
#: 120 times as long; another program on the same core seldom costs so much.
_SLOW: Final = 10.0
#: How often all is taken at most. Twice is enough where nobody else takes memory meanwhile.
_LOOKS: Final = 4


class Touched(NamedTuple):
    """What taking memory took.

    Attributes:
        pieces_s_per_byte: Bytes of each piece, and seconds for each byte.
        sure_s_per_byte: Of memory that had been given back a moment before, and so of which it is sure.
    """

    pieces_s_per_byte: tuple[tuple[int, float], ...]
    sure_s_per_byte: float

    @property
    def slow_bytes(self) -> int:
        """How much was not at hand."""
        fastest_s_per_byte = min(s_per_byte for _, s_per_byte in self.pieces_s_per_byte)
        limit = _SLOW * min(fastest_s_per_byte, self.sure_s_per_byte)
        return sum(size_bytes for size_bytes, s_per_byte in self.pieces_s_per_byte if s_per_byte > limit)


def claim(size_bytes: int) -> int:
    """Take memory and give it back until all of it is seen to be at hand for whoever comes next.

    Args:
        size_bytes: How much.

    Returns:
        How much was seen to be at hand, at most what was asked for.
    """
    found_bytes = max(0, min(size_bytes, available_memory_bytes() - RESERVE_BYTES))
    if not found_bytes:
        return 0
    slow_bytes = found_bytes
    try:
        touch(found_bytes)  # whatever this takes, it brings the memory
        for _ in range(_LOOKS - 1):
            slow_bytes = min(slow_bytes, touch(found_bytes).slow_bytes)
            if not slow_bytes:
                break
    except OSError:  # a system that promises no more memory than it has may refuse
        return 0
    return found_bytes - slow_bytes


def touch(size_bytes: int) -> Touched:
    """Take fresh memory piece by piece, by all cores, and give it back.

    A host takes free memory away in blocks as large as huge pages
    (https://docs.kernel.org/mm/free_page_reporting.html), so those are what is asked for.

    Args:
        size_bytes: How much, at least 1.

    Raises:
        OSError: If the system refuses to promise so much.
    """
    memory = torch.frombuffer(buffers(size_bytes), dtype=torch.uint8)
    with ThreadPoolExecutor(usable_cores()) as threads:
        jobs = [threads.submit(_touch, part) for part in memory.chunk(usable_cores())]
        parts = [job.result() for job in jobs]
    # The slowest of the cores: they share the way to memory, and none may look slow for that.
    sure_s_per_byte = max(part.sure_s_per_byte for part in parts)
    return Touched(tuple(piece for part in parts for piece in part.pieces_s_per_byte), sure_s_per_byte)


def _touch(part: torch.Tensor) -> Touched:
    pieces = torch.split(part, PIECE_BYTES)
    times = tuple((len(piece), _timed(piece)) for piece in pieces)
    sure_s_per_byte = math.inf
    for _ in range(2):  # once more, since another program may come between
        give_back(pieces[0])
        sure_s_per_byte = min(sure_s_per_byte, _timed(pieces[0]))
    return Touched(times, sure_s_per_byte)


def _timed(piece: torch.Tensor) -> float:
    """Seconds for each byte."""
    start_s = time.perf_counter()
    if not populate(piece):
        piece.numpy().fill(1)  # lets other threads run
    return (time.perf_counter() - start_s) / len(piece)
