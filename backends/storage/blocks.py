"""A file moved in large aligned blocks, several requests in flight, past the page cache where the system has a way.

The limit is measured with it (`backends.measuring.device_limit`), and `direct` saves and loads with it, so that one can
be held against the other.
"""

import contextlib
import mmap
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final, NamedTuple

#: Reading and writing past the page cache; 0 where the system has no such thing (macOS).
DIRECT: Final = getattr(os, "O_DIRECT", 0)
#: What direct requests must begin and end on, in the file and in memory. Devices ask for 512 or 4096 bytes.
ALIGNMENT: Final = 4096
_HUGE_PAGES: Final = getattr(mmap, "MADV_HUGEPAGE", None)


class Pattern(NamedTuple):
    """How a file is written or read: the size of one request, and how many are in flight."""

    block_bytes: int
    depth: int


def align(size_bytes: int) -> int:
    """The next multiple of the alignment."""
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT


def buffers(size_bytes: int) -> mmap.mmap:
    """Memory for requests, of at least one byte, that begins on a page.

    It is asked for in huge pages, and comes without where the system has none: a request is then one piece of memory
    for the device and not hundreds, which can halve the time that a virtual disk takes for it.
    """
    # Shared memory, which is what one gets without saying so, comes in small pages on most systems.
    memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if _HUGE_PAGES is not None:
        with contextlib.suppress(OSError):  # a kernel built without them
            memory.madvise(_HUGE_PAGES)
    return memory


def open_file(path: Path, flags: int, *, direct: bool) -> int:
    """Open a file, new ones as `open` makes them.

    Raises:
        OSError: With EINVAL where the file system has no way past the page cache.
    """
    return os.open(path, flags | (DIRECT if direct else 0), 0o666)


def write_at(fd: int, content: memoryview, offset: int) -> None:
    """Write all of it."""
    while content:
        count = os.pwrite(fd, content, offset)
        content, offset = content[count:], offset + count


def read_at(fd: int, buffer: memoryview, offset: int, end: int) -> None:
    """Read what the file has from `offset` to `end`, or as far as the buffer goes, which may be beyond the end.

    Raises:
        EOFError: If the file ends before that.
    """
    end = min(end, offset + len(buffer))
    while offset < end:
        count = os.preadv(fd, [buffer], offset)
        if not count:
            raise EOFError(f"the file ends at byte {offset:,}")
        buffer, offset = buffer[count:], offset + count


def in_blocks(
    threads: ThreadPoolExecutor, request: Callable[[int, int, int], None], start: int, end: int, pattern: Pattern
) -> None:
    """Make requests for [start, end) block by block, as many at a time as the pattern says.

    Args:
        threads: At least as many as the pattern's depth.
        request: Given the number of its place among those in flight, and its own start and end.
        start: First byte.
        end: After the last byte.
        pattern: Sizes and depth.

    Raises:
        Exception: What a request raised, of several the one with the lowest place, when all others are done with the
            file. None begins after a failure.
    """
    starts = iter(range(start, end, pattern.block_bytes))  # shared: taking the next is one step of the interpreter

    def work(slot: int) -> None:
        try:
            for block in starts:
                request(slot, block, min(end, block + pattern.block_bytes))
        except BaseException:
            for _ in starts:
                pass
            raise

    jobs: list[Future[None]] = []
    try:
        jobs += (threads.submit(work, slot) for slot in range(pattern.depth))
        wait(jobs)
    finally:  # whatever interrupts the waiting, the file stays open until nobody uses it
        for _ in starts:
            pass
        wait(jobs)
    for job in jobs:
        job.result()
