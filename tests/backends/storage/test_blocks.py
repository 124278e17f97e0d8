"""Files in blocks: every byte once, errors that stop the rest, files that end too early."""

import errno
import mmap
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.storage.blocks import ALIGNMENT, Pattern, align, buffers, in_blocks, read_at, write_at


@given(st.integers(0, 100), st.integers(0, 400), st.integers(1, 60), st.integers(1, 5))
def test_blocks_cover_everything_once_with_no_more_in_flight_than_asked(
    start: int, size: int, block_bytes: int, depth: int
) -> None:
    seen: list[tuple[int, int, int]] = []
    with ThreadPoolExecutor(depth) as threads:
        in_blocks(threads, lambda *block: seen.append(block), start, start + size, Pattern(block_bytes, depth))
    spans = sorted((begin, end) for _, begin, end in seen)
    assert [byte for begin, end in spans for byte in range(begin, end)] == list(range(start, start + size))
    assert all(end - begin <= block_bytes for begin, end in spans)
    assert {slot for slot, _, _ in seen} <= set(range(depth))


def test_buffers_begin_on_a_page_and_are_as_large_as_asked() -> None:
    memory = buffers(3 * ALIGNMENT + 1)
    assert len(memory) == 3 * ALIGNMENT + 1
    assert np.frombuffer(memory, np.uint8).ctypes.data % ALIGNMENT == 0


def test_buffers_come_in_small_pages_where_the_kernel_has_no_huge_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithoutHugePages(mmap.mmap):
        def madvise(self, *_: int) -> None:
            raise OSError(errno.EINVAL, "invalid argument")

    monkeypatch.setattr(mmap, "mmap", WithoutHugePages)
    assert len(buffers(ALIGNMENT)) == ALIGNMENT


def test_after_a_failure_nothing_begins_and_what_was_in_flight_has_ended() -> None:
    begun, ended, both = [], [], threading.Barrier(2)

    def request(slot: int, start: int, end: int) -> None:
        begun.append(start)
        if start < 2:
            both.wait(5)
        if start == 0:
            raise OSError(5, "broken")
        time.sleep(0.001)
        ended.append(start)

    with ThreadPoolExecutor(2) as threads, pytest.raises(OSError, match="broken"):
        in_blocks(threads, request, 0, 1000, Pattern(1, 2))
    assert len(begun) < 900
    assert set(begun) - set(ended) == {0}


def test_an_interrupt_waits_for_what_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = [], []

    def request(slot: int, start: int, end: int) -> None:
        begun.append(start)
        time.sleep(0.05)
        ended.append(start)

    class Interrupted(ThreadPoolExecutor):
        def submit(self, *arguments: Any, **named: Any) -> Any:
            if begun:
                raise KeyboardInterrupt
            job = super().submit(*arguments, **named)
            time.sleep(0.02)
            return job

    with Interrupted(2) as threads:
        with pytest.raises(KeyboardInterrupt):
            in_blocks(threads, request, 0, 100, Pattern(1, 2))
        assert begun == ended == [0]


def test_short_writes_and_reads_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite, preadv = os.pwrite, os.preadv
    monkeypatch.setattr(os, "pwrite", lambda fd, content, offset: pwrite(fd, content[:7], offset))
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: preadv(fd, [buffers[0][:5]], offset))
    content = bytes(range(100))
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    write_at(fd, memoryview(content), 3)
    buffer = bytearray(100)
    read_at(fd, memoryview(buffer), 3, 1000)
    assert buffer == content
    with pytest.raises(EOFError, match="ends at byte 103"):
        read_at(fd, memoryview(bytearray(8)), 100, 1000)
    os.close(fd)


@pytest.mark.parametrize(("size", "aligned"), [(0, 0), (1, ALIGNMENT), (ALIGNMENT, ALIGNMENT)])
def test_sizes_are_rounded_up(size: int, aligned: int) -> None:
    assert align(size) == aligned
