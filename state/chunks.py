"""How a tensor is cut into chunks, and how many files that makes."""

import math
from collections.abc import Sequence
from typing import Final

TILE: Final = 64


def tile_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Chunking off: at most 64 elements in every dimension, so a matrix becomes 64x64 tiles.

    An empty dimension gets a chunk of 1, because zarr knows no chunk of 0.
    """
    return tuple(max(1, min(TILE, dim)) for dim in shape)


def _divisors(number: int) -> list[int]:
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def large_chunk_shape(shape: Sequence[int], item_bytes: int, chunk_bytes: int) -> tuple[int, ...]:
    """Chunking on: T5X's rule.

    While the chunk is larger than `chunk_bytes`, its currently largest dimension (the first of equals) goes to the
    next smaller divisor of the tensor's dimension. A prime dimension therefore collapses to 1. Only divisors are used,
    so every chunk is full.

    Source: ``choose_chunk_shape`` in ``t5x/checkpoint_importer`` and ``t5x/checkpoints``; the rule, not the code.

    Args:
        shape: The tensor's shape.
        item_bytes: Size of one element.
        chunk_bytes: The largest chunk wanted, before compression. A single element may exceed it.

    Returns:
        The chunk's shape, as long as `shape`; 1 for an empty dimension.
    """
    chunk = [max(1, dim) for dim in shape]
    choices: list[list[int] | None] = [None] * len(chunk)
    while math.prod(chunk) * item_bytes > chunk_bytes and max(chunk, default=1) > 1:
        largest = max(range(len(chunk)), key=chunk.__getitem__)
        divisors = choices[largest]
        if divisors is None:
            divisors = choices[largest] = _divisors(chunk[largest])
        divisors.pop()
        chunk[largest] = divisors[-1]
    return tuple(chunk)


def chunk_count(shape: Sequence[int], chunk: Sequence[int]) -> int:
    """The number of chunks, each a file, that a tensor of `shape` makes; 0 for an empty tensor."""
    return math.prod(math.ceil(dim / step) for dim, step in zip(shape, chunk, strict=True))
