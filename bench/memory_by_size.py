"""What filling memory costs for each gigabyte, for small and large amounts: why large loads take longer a gigabyte.

    python -m bench.memory_by_size --storage DIR --export docs/results

No method takes part, and nothing of a trial but its claim: memory is at hand before every clock. In each round, and for
each size in an order of its own:

small pages     fresh memory is filled as most libraries fill it, in pages of 4 KiB, by one thread
huge pages      the same in huge pages
page cache      a file is read through the page cache into one buffer of 4 MiB, cold: the device and the cache's pages
copied          the same into fresh memory in small pages, as most loads do: the copy and the cache's pages
device          read past the page cache, with the block size and depth of `direct`

The sizes are compared with the smallest: a ratio above 1 is what a gigabyte of a large model costs more on this
machine, whoever loads it.

Then the largest size is claimed twice over, as for a load through the page cache, and left alone for some seconds: how
much of it the machine's host has taken back is what a long load finds missing when it comes to its end.
"""

import contextlib
import math
import mmap
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import click
import numpy as np

from backends.measuring import memory_at_hand
from backends.process.machine_info import environment
from backends.storage import pagecache
from backends.storage.blocks import Pattern, buffers, in_blocks, open_file, read_at, write_at
from backends.storage.folder import RESERVE_BYTES, available_memory_bytes
from bench.report import Bench, keep, where
from state.stats.intervals import ratio
from state.units import MIB, format_bytes, parse_size

_BLOCK_BYTES: Final = 4 * MIB
_DEVICE: Final = Pattern(_BLOCK_BYTES, 4)

Fill = Callable[[Path, int], float]


def small_pages(_: Path, size_bytes: int) -> float:
    """Seconds to fill fresh memory in small pages."""
    with _small(size_bytes) as memory:
        return _filled(memory)


def _small(size_bytes: int) -> mmap.mmap:
    memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory


def huge_pages(_: Path, size_bytes: int) -> float:
    """Seconds to fill fresh memory in huge pages."""
    with buffers(size_bytes) as memory:
        return _filled(memory)


def _filled(memory: mmap.mmap) -> float:
    view = np.frombuffer(memory, np.uint8)
    start_s = time.perf_counter()
    view.fill(1)
    time_s = time.perf_counter() - start_s
    del view  # or the memory could not be given back
    return time_s


def page_cache(path: Path, size_bytes: int) -> float:
    """Seconds to read a cold file through the page cache, into one small buffer."""
    buffer = memoryview(bytearray(_BLOCK_BYTES))
    return _read_through_cache(path, size_bytes, lambda start, end: buffer[: end - start])


def copied(path: Path, size_bytes: int) -> float:
    """Seconds to read a cold file through the page cache into fresh memory in small pages, as most loads do."""
    with _small(size_bytes) as memory:
        view = memoryview(memory)
        try:
            return _read_through_cache(path, size_bytes, lambda start, end: view[start:end])
        finally:
            view.release()


def _read_through_cache(path: Path, size_bytes: int, place: Callable[[int, int], memoryview]) -> float:
    pagecache.settle(path.parent)
    pagecache.evict(path.parent)
    fd = os.open(path, os.O_RDONLY)
    try:
        start_s = time.perf_counter()
        for start in range(0, size_bytes, _BLOCK_BYTES):
            end = min(size_bytes, start + _BLOCK_BYTES)
            with place(start, end) as buffer:
                read_at(fd, buffer, start, end)
        return time.perf_counter() - start_s
    finally:
        os.close(fd)


def device(path: Path, size_bytes: int) -> float:
    """Seconds to read a file past the page cache."""
    pagecache.settle(path.parent)
    pagecache.evict(path.parent)
    fd = open_file(path, os.O_RDONLY, direct=True)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, fd)
        threads = stack.enter_context(ThreadPoolExecutor(_DEVICE.depth))
        ring = [memoryview(buffers(_BLOCK_BYTES)) for _ in range(_DEVICE.depth)]

        def read(slot: int, start: int, end: int) -> None:
            read_at(fd, ring[slot][: end - start], start, end)

        start_s = time.perf_counter()
        in_blocks(threads, read, 0, size_bytes, _DEVICE)
        return time.perf_counter() - start_s


WAYS: Final[dict[str, Fill]] = {
    "small pages": small_pages,
    "huge pages": huge_pages,
    "page cache": page_cache,
    "copied": copied,
    "device": device,
}


#: How long claimed memory is left alone.
IDLE_S: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)


def taken_back(size_bytes: int) -> list[str]:
    """Lines that say how much claimed memory is missing after a time, and what it costs to have it again."""
    lines = []
    for idle_s in IDLE_S:
        claimed_bytes = memory_at_hand.claim(size_bytes)
        time.sleep(idle_s)
        start_s = time.perf_counter()
        missing_bytes = memory_at_hand.touch(claimed_bytes).slow_bytes
        touched_s = time.perf_counter() - start_s
        lines.append(f"{idle_s:6g} s  {format_bytes(missing_bytes):>8} missing, taken again in {touched_s:.2f} s")
    return lines


def make_file(path: Path, size_bytes: int) -> None:
    """A file of that size on the device."""
    content = np.random.default_rng(0).bytes(16 * _BLOCK_BYTES)
    with path.open("wb") as file:
        for offset in range(0, size_bytes, len(content)):
            write_at(file.fileno(), memoryview(content)[: size_bytes - offset], offset)
        os.fsync(file.fileno())


def _times_as_much(here: list[float], smallest: list[float]) -> str:
    """`` x1.20 (1.10–1.31)``; empty of the smallest itself."""
    if here is smallest:
        return ""
    found = ratio(here, smallest)
    if found.low is None or found.high is None:
        return f" x{math.exp(found.value):.2f}"
    return f" x{math.exp(found.value):.2f} ({math.exp(found.low):.2f}–{math.exp(found.high):.2f})"


@click.command(cls=Bench)
@click.option("--storage", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--size", "sizes", multiple=True, default=("1GB", "3GB", "6.85GB"), show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--export", "folder", type=click.Path(path_type=Path), help="Keep the figures in this folder.")
def main(storage: Path, sizes: tuple[str, ...], rounds: int, folder: Path | None) -> None:
    """Measure, and print the table."""
    amounts = sorted({parse_size(size) // _BLOCK_BYTES * _BLOCK_BYTES for size in sizes})
    times: dict[tuple[str, int], list[float]] = {}
    lacking = 0
    with tempfile.TemporaryDirectory(dir=storage) as name:
        files = {size_bytes: Path(name, str(size_bytes), "file") for size_bytes in amounts}
        for size_bytes, path in files.items():
            path.parent.mkdir()
            make_file(path, size_bytes)
        order = [(way, size_bytes) for way in WAYS for size_bytes in amounts]
        for number in range(rounds):
            random.Random(number).shuffle(order)
            for way, size_bytes in order:
                need_bytes = size_bytes * (2 if way == "copied" else 1)
                lacking += memory_at_hand.claim(need_bytes) < need_bytes
                time_s = WAYS[way](files[size_bytes], size_bytes)
                times.setdefault((way, size_bytes), []).append(time_s / size_bytes * 1e9)
        found = environment(storage)
    lines = [
        f"python -m bench.memory_by_size --size {' --size '.join(sizes)} --rounds {rounds}",
        *where(found),
        "",
        f"{rounds} interleaved rounds, seconds a GB, medians; over the smallest with a 95 % interval",
        f"memory was not all at hand before {lacking} of {len(order) * rounds} clocks",
        "",
        f"{'':<14}" + "".join(f"{format_bytes(size_bytes):>26}" for size_bytes in amounts),
    ]
    for way in WAYS:
        cells = []
        for size_bytes in amounts:
            here = times[way, size_bytes]
            cells.append(f"{statistics.median(here):.3f}{_times_as_much(here, times[way, amounts[0]])}")
        lines.append(f"{way:<14}" + "".join(f"{cell:>26}" for cell in cells))
    both_bytes = min(2 * amounts[-1], available_memory_bytes() - RESERVE_BYTES)
    lines += ["", f"{format_bytes(both_bytes)} claimed, and then left alone for", *taken_back(both_bytes)]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if folder is not None:
        keep(text, folder, "memory_by_size.txt")


if __name__ == "__main__":
    main()
