"""Buffers between tensors and a file: aligned, bounded, one for each request in flight, pinned where there is a GPU.

And the pages of the memory that a load fills.
"""

import bisect
import ctypes
import itertools
import mmap
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import torch

from backends.storage.blocks import Pattern, buffers
from state.units import MIB

#: MADV_POPULATE_WRITE (Linux 5.14, https://man7.org/linux/man-pages/man2/madvise.2.html), which `mmap` does not know.
_POPULATE_WRITE: Final = 23
_DONT_NEED: Final = mmap.MADV_DONTNEED
#: How much is asked for at a time.
_STEP_BYTES: Final = 4 * MIB


class Lanes:
    """Threads, each with a buffer of its own and, on a GPU, a stream of its own, so that copies and requests overlap.

    There is a thread more than buffers, for work beside them. The threads end when nobody has the lanes any more.

    Args:
        pattern: How many, and how large the buffers are.
        device: Where the tensors are, or shall be.
    """

    def __init__(self, pattern: Pattern, device: torch.device) -> None:
        self.pattern = pattern
        self.device = device
        self.threads = ThreadPoolExecutor(pattern.depth + 1)
        size_bytes = pattern.block_bytes
        self._streams: list[torch.cuda.Stream] = []
        if device.type == "cuda":
            memory = torch.empty(size_bytes * pattern.depth, dtype=torch.uint8, pin_memory=True)
            self._streams += (torch.cuda.Stream(device) for _ in range(pattern.depth))  # type: ignore[no-untyped-call]
        else:
            memory = torch.frombuffer(buffers(size_bytes * pattern.depth), dtype=torch.uint8)
            memory.zero_()  # so that their pages are there
        self.buffers = [memory[slot * size_bytes :][:size_bytes] for slot in range(pattern.depth)]
        self.views = [buffer.numpy().data for buffer in self.buffers]

    def follow(self) -> None:
        """Let copies wait for what the device was asked for so far: to make what is saved, to be done with memory."""
        for stream in self._streams:
            stream.wait_stream(torch.cuda.current_stream(self.device))

    def gather(self, slot: int, pieces: Iterable[torch.Tensor]) -> None:
        """Put bytes one after the other into a lane's buffer.

        Args:
            slot: Which lane.
            pieces: Bytes (uint8), no more than a buffer holds.
        """
        start = 0
        for piece in pieces:
            self._copy(self.buffers[slot][start : start + len(piece)], piece, slot)
            start += len(piece)
        self._finish(slot)

    def deliver(self, slot: int, offset: int, target: torch.Tensor) -> None:
        """Copy what begins at an offset of a lane's buffer to where it belongs."""
        self._copy(target, self.buffers[slot][offset : offset + len(target)], slot)
        self._finish(slot)

    def _copy(self, target: torch.Tensor, source: torch.Tensor, slot: int) -> None:
        if source.is_cuda or target.is_cuda:
            with torch.cuda.stream(self._streams[slot]):
                target.copy_(source, non_blocking=True)
        else:
            np.copyto(target.numpy(), source.numpy())  # lets other threads run, and starts none of its own

    def _finish(self, slot: int) -> None:
        if self.device.type == "cuda":
            self._streams[slot].synchronize()


def populate(memory: torch.Tensor) -> bool:
    """Have the system make the pages of fresh memory now, rather than one by one when they are first written to.

    Others may write to it in the meantime: no byte is touched.

    Args:
        memory: Bytes (uint8) on the CPU.

    Returns:
        Whether all whole pages were made; not where the system does not know how.
    """
    return _advise(memory, _POPULATE_WRITE)


def give_back(memory: torch.Tensor) -> None:
    """Let the system have the whole pages of memory again, and whatever was written there.

    Args:
        memory: Bytes (uint8) on the CPU, of a private and anonymous mapping.
    """
    _advise(memory, _DONT_NEED)


def _advise(memory: torch.Tensor, advice: int) -> bool:
    start = -(-memory.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (memory.data_ptr() + len(memory)) // mmap.PAGESIZE * mmap.PAGESIZE
    libc = ctypes.CDLL(None)  # its calls let other threads run, those of `mmap` do not
    for step in range(start, end, _STEP_BYTES):
        size_bytes = min(_STEP_BYTES, end - step)
        if libc.madvise(ctypes.c_void_p(step), ctypes.c_size_t(size_bytes), advice):
            return False
    return True


class Parts:
    """Pieces of memory that shall lie one after the other in a file.

    Args:
        parts: Bytes (uint8) on any device, in their order.
    """

    def __init__(self, parts: Sequence[torch.Tensor]) -> None:
        self._parts = [part for part in parts if len(part)]
        ends = list(itertools.accumulate(len(part) for part in self._parts))
        self._starts = [end - len(part) for part, end in zip(self._parts, ends, strict=True)]
        self.size_bytes = ends[-1] if ends else 0

    def between(self, start: int, end: int) -> Iterator[torch.Tensor]:
        """What lies in [start, end) of the file; less where that is beyond its end."""
        number = max(0, bisect.bisect_right(self._starts, start) - 1)
        while number < len(self._parts) and self._starts[number] < end:
            part, begin = self._parts[number], self._starts[number]
            if len(piece := part[max(0, start - begin) : end - begin]):
                yield piece
            number += 1
