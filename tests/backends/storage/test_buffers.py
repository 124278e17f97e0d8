"""Buffers between tensors and a file."""

import itertools
import mmap
import threading

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backends.storage.blocks import ALIGNMENT, Pattern
from backends.storage.buffers import Lanes, Parts, populate
from state.units import MIB
from tests.backends.runs import wait_until

CPU = torch.device("cpu")


@given(st.lists(st.integers(0, 20), max_size=12), st.integers(0, 120), st.integers(0, 120))
def test_what_lies_between_two_places_is_found(sizes: list[int], start: int, length: int) -> None:
    whole = torch.arange(sum(sizes), dtype=torch.uint8)
    ends = list(itertools.accumulate(sizes))
    parts = Parts([whole[end - size : end] for size, end in zip(sizes, ends, strict=True)])
    assert parts.size_bytes == len(whole)
    found = list(parts.between(start, start + length))
    assert all(len(piece) for piece in found)
    assert b"".join(piece.numpy().tobytes() for piece in found) == whole[start : start + length].numpy().tobytes()


def test_lanes_are_aligned_apart_and_no_larger_than_asked() -> None:
    pattern = Pattern(3 * ALIGNMENT, 4)
    lanes = Lanes(pattern, CPU)
    addresses = [buffer.data_ptr() for buffer in lanes.buffers]
    assert [address % ALIGNMENT for address in addresses] == [0] * 4
    assert [len(view) for view in lanes.views] == [pattern.block_bytes] * 4
    assert len({address // pattern.block_bytes for address in addresses}) == 4
    lanes.gather(2, [torch.full((5,), 7, dtype=torch.uint8), torch.full((2,), 9, dtype=torch.uint8)])
    assert bytes(lanes.views[2][:8]) == bytes([7] * 5 + [9] * 2 + [0])
    target = torch.zeros(6, dtype=torch.uint8)
    lanes.deliver(2, 1, target)
    assert target.tolist() == [7] * 4 + [9] * 2


def test_threads_end_with_their_lanes() -> None:
    before = threading.active_count()
    lanes = Lanes(Pattern(ALIGNMENT, 4), CPU)
    lanes.threads.submit(int).result()
    assert threading.active_count() == before + 1
    del lanes
    assert wait_until(lambda: threading.active_count() == before)


@pytest.mark.skipif(not psutil.LINUX, reason="no other system has such a request")
def test_populated_memory_has_its_pages_and_keeps_what_was_written() -> None:
    memory = torch.frombuffer(mmap.mmap(-1, 9 * MIB + 5), dtype=torch.uint8)  # fresh, where torch's may be used
    memory[:3] = memory[-3:] = 7
    before_bytes = psutil.Process().memory_info().rss
    populate(memory)
    assert psutil.Process().memory_info().rss - before_bytes > 8 * MIB
    assert memory[:3].tolist() == memory[-3:].tolist() == [7] * 3
    populate(torch.empty(0, dtype=torch.uint8))
