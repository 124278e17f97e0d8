"""Buffers between tensors and a file."""

import itertools
import threading

import torch
from hypothesis import given
from hypothesis import strategies as st

from backends.blocks import ALIGNMENT, Pattern
from backends.staging import Lanes, Parts

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
    before = threading.active_count()
    with Lanes(pattern, CPU) as lanes:
        addresses = [buffer.data_ptr() for buffer in lanes.buffers]
        assert [address % ALIGNMENT for address in addresses] == [0] * 4
        assert [len(view) for view in lanes.views] == [pattern.block_bytes] * 4
        assert len({address // pattern.block_bytes for address in addresses}) == 4
        lanes.gather(2, [torch.full((5,), 7, dtype=torch.uint8), torch.full((2,), 9, dtype=torch.uint8)])
        assert bytes(lanes.views[2][:8]) == bytes([7] * 5 + [9] * 2 + [0])
        target = torch.zeros(6, dtype=torch.uint8)
        lanes.deliver(2, 1, target)
        assert target.tolist() == [7] * 4 + [9] * 2
        lanes.threads.submit(int).result()
    assert threading.active_count() == before
