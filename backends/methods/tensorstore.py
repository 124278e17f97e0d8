"""The TensorStore family: the eight cells of concurrency, chunking and compression.

One zarr (v2) array per tensor, dtype kept. What "off" means needs care, because TensorStore's defaults are already
concurrent and, for zarr, already compressed (https://google.github.io/tensorstore/driver/zarr/index.html):

- concurrency off: both thread pools limited to one, one array awaited at a time. On: the file pool at the value, the
  pool that encodes and decodes at TensorStore's own default, all arrays in flight within a bound of bytes.
- chunking off: 64x64 tiles. On: T5X's rule (`state.chunks.large_chunk_shape`).
- compression off: ``"compressor": null`` in so many words; left out it means blosc.

With all three on this is what T5X does with numpy leaves, apart from two things: T5X copies to a temporary name and
renames, and its restore opens without the concurrency context, where we use the same value both ways.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import tensorstore as ts
import torch

from backends.methods.base import Capabilities, Method
from backends.methods.index import make_index, read_index, write_index
from backends.tensors import Array, StateDict, from_numpy, to_numpy, unique_tensors
from state.chunks import large_chunk_shape, tile_shape
from state.errors import RequestError
from state.optimizations import IN_FLIGHT_BYTES, Codec, Optimizations
from state.plan import Plan

#: Without the last, chunks of zeros are never written, and a model with zeros in it saves less than the others do.
_DRIVER: Final = {"driver": "zarr", "store_data_equal_to_fill_value": True}

#: What zarr v2 in TensorStore and torch both have.
DTYPES: Final = frozenset(
    {
        *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
        *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"),
    }
)


def compressor(codec: Codec | None) -> dict[str, Any] | None:
    """A codec as zarr v2 metadata spells it. Blosc shuffles bytes, which is what makes it work on floats."""
    if codec is None:
        return None
    if codec.name in ("gzip", "zstd"):
        return {"id": codec.name, "level": codec.level}
    return {"id": "blosc", "cname": codec.name.removeprefix("blosc-"), "clevel": codec.level, "shuffle": 1}


class TensorStore(Method):
    """One zarr array per tensor.

    Args:
        optimizations: The three switches.
    """

    capabilities = Capabilities(dtypes=DTYPES, syncs_itself=True)

    def __init__(self, optimizations: Optimizations) -> None:
        self._optimizations = optimizations

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        """The cell of this name with the plan's values.

        Raises:
            RequestError: If the name is no cell.
        """
        optimizations = plan.optimizations(name)
        if optimizations is None:
            raise RequestError(f"{name!r} is no cell of the three switches", "see ckpt-tui methods")
        return cls(optimizations)

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """Driver, context and metadata, as TensorStore's own JSON has them."""
        return _DRIVER | {
            "context": self._context_spec(durable=durable),
            "metadata": {"compressor": compressor(self._optimizations.codec)},
            "chunks": "T5X's divisor rule" if self._optimizations.chunk_bytes else "64x64 tiles",
            "chunk_bytes": self._optimizations.chunk_bytes,
            "arrays": "all in flight" if self._optimizations.concurrency else "one at a time",
        }

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """Write every unique tensor as an array, and the index."""
        tensors, aliases = unique_tensors(state)
        index = make_index(tensors, aliases)
        context = ts.Context(self._context_spec(durable=durable))
        budget = ByteBudget(IN_FLIGHT_BYTES)

        async def write(name: str, tensor: torch.Tensor) -> None:
            async with budget.room(tensor.nbytes):
                array = to_numpy(tensor.detach().cpu())
                store = await ts.open(
                    self._array_spec(folder / index.arrays[name]) | {"metadata": self._metadata(array)},
                    create=True,
                    context=context,
                    dtype=ts.dtype(array.dtype),
                    shape=array.shape,
                )
                # The source does not change during a save, so TensorStore need not copy it first.
                await store.write(array, can_reference_source_data_indefinitely=True)

        self._run(write(name, tensor) for name, tensor in tensors.items())
        write_index(index, folder, durable=durable)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        """Read every array that the index names."""
        index = read_index(folder)
        context = ts.Context(self._context_spec(durable=None))
        budget = ByteBudget(IN_FLIGHT_BYTES)
        loaded: StateDict = {}

        async def read(name: str) -> None:
            store = await ts.open(self._array_spec(folder / index.arrays[name]), open=True, context=context)
            async with budget.room(store.size * store.dtype.numpy_dtype.itemsize):
                loaded[name] = from_numpy(await store.read()).to(device)

        self._run(read(name) for name in index.arrays)
        return loaded | {alias: loaded[name] for alias, name in index.aliases.items()}

    def _context_spec(self, *, durable: bool | None) -> dict[str, Any]:
        limit = self._optimizations.concurrency
        spec: dict[str, Any] = {
            "cache_pool": {"total_bytes_limit": 0},
            "file_io_concurrency": {"limit": limit or 1},
            "data_copy_concurrency": {"limit": "shared"} if limit else {"limit": 1},
        }
        return spec if durable is None else spec | {"file_io_sync": durable}

    @staticmethod
    def _array_spec(folder: Path) -> dict[str, Any]:
        return _DRIVER | {"kvstore": {"driver": "file", "path": f"{folder}/"}}

    def _metadata(self, array: Array) -> dict[str, Any]:
        chunk_bytes = self._optimizations.chunk_bytes
        shape = large_chunk_shape(array.shape, array.itemsize, chunk_bytes) if chunk_bytes else tile_shape(array.shape)
        return {"chunks": list(shape), "compressor": compressor(self._optimizations.codec)}

    def _run(self, jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Await the jobs, one after the other or all at once."""

        async def run() -> None:
            if self._optimizations.concurrency is None:
                for job in jobs:
                    await job
            else:
                async with asyncio.TaskGroup() as group:
                    for job in jobs:
                        group.create_task(job)

        asyncio.run(run())


class ByteBudget:
    """Bounds the bytes in flight. What is larger than the bound goes alone.

    Args:
        limit_bytes: The bound.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def room(self, size_bytes: int) -> AsyncIterator[None]:
        """Wait until there is room for `size_bytes`, and hold it."""
        size_bytes = min(size_bytes, self._limit_bytes)
        async with self._changed:
            await self._changed.wait_for(lambda: self._used_bytes + size_bytes <= self._limit_bytes)
            self._used_bytes += size_bytes
        try:
            yield
        finally:
            async with self._changed:
                self._used_bytes -= size_bytes
                self._changed.notify_all()
