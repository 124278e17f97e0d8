import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.chunks import chunk_count, large_chunk_shape, tile_shape
from state.units import MIB

shapes = st.lists(st.integers(0, 5000), max_size=4).map(tuple)


@pytest.mark.parametrize(
    ("shape", "item_bytes", "chunk_bytes", "chunk"),
    [
        # 256 MiB; the first of two equal dimensions is halved, then the other: 4096 x 4096 x 4 = 64 MiB.
        ((8192, 8192), 4, 64 * MIB, (4096, 4096)),
        # 195 MiB: 32000 -> 16000 (98 MiB) -> 10666 is no divisor, so 32000/4 = 8000 ... the next smaller one is 8000.
        ((32000, 3200), 2, 64 * MIB, (8000, 3200)),
        # Fits as it is.
        ((3200, 3200), 2, 64 * MIB, (3200, 3200)),
        # A prime dimension collapses to 1.
        ((7919, 4096), 4, MIB, (1, 4096)),
        ((10,), 4, 4, (1,)),
        ((), 4, 1, ()),
        ((0, 7), 4, 1, (1, 1)),
    ],
)
def test_large_chunks_follow_t5x_s_rule(
    shape: tuple[int, ...], item_bytes: int, chunk_bytes: int, chunk: tuple[int, ...]
) -> None:
    assert large_chunk_shape(shape, item_bytes, chunk_bytes) == chunk


@given(shapes, st.sampled_from([1, 2, 4, 8]), st.integers(1, 10**8))
def test_a_large_chunk_divides_its_tensor_and_fits(shape: tuple[int, ...], item_bytes: int, chunk_bytes: int) -> None:
    chunk = large_chunk_shape(shape, item_bytes, chunk_bytes)
    assert len(chunk) == len(shape)
    assert all(max(1, dim) % step == 0 for dim, step in zip(shape, chunk, strict=True))
    assert math.prod(chunk) * item_bytes <= chunk_bytes or all(step == 1 for step in chunk)


@given(shapes)
def test_tiles_are_at_most_64_wide_and_cover_the_tensor(shape: tuple[int, ...]) -> None:
    tile = tile_shape(shape)
    assert all(1 <= step <= 64 for step in tile)
    expected = math.prod(-(-dim // 64) for dim in shape)
    assert chunk_count(shape, tile) == expected


def test_64x64_tiles_of_one_gb_of_float16_are_122_000_files() -> None:
    assert chunk_count((500_000_000 // 4096, 4096), tile_shape((500_000_000 // 4096, 4096))) // 1000 == 122
