"""What the TensorStore family shares: an array for every tensor, in flight or one at a time, and the index.

A method of the family says what an array's spec is (https://google.github.io/tensorstore/spec.html): its driver,
where it lies, and its metadata.

What "off" means needs care, because TensorStore's defaults are already concurrent. Concurrency off: both thread pools
limited to one, one array awaited at a time. On: the file pool at the value, the pool that encodes and decodes at
TensorStore's own default, all arrays in flight within a bound of bytes.
"""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import tensorstore as ts
import torch

from backends.methods.base import Capabilities, Method
from backends.methods.part_times import PartTimes
from backends.methods.tensorstore.index import make_index, read_index, write_index
from backends.storage.pinned import PinnedPool
from backends.tensors import StateDict, dtype_name, from_numpy, numpy_dtype, to_numpy, unique_tensors
from state.chunks import large_chunk_shape, tile_shape
from state.errors import RequestError
from state.needs import MemoryNeed
from state.optimizations import IN_FLIGHT_BYTES, Optimizations
from state.plan import Plan

_CPU: Final = torch.device("cpu")

#: What zarr in TensorStore, both versions, and torch have.
DTYPES: Final = frozenset(
    {
        *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
        *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"),
    }
)


class ArrayMethod(Method):
    """An array for every tensor.

    Args:
        name: Of the method.
        optimizations: The three switches.
    """

    capabilities = Capabilities(dtypes=DTYPES, syncs_itself=True)

    def __init__(self, name: str, optimizations: Optimizations) -> None:
        self._name = name
        self._optimizations = optimizations
        self._parts = PartTimes()
        self._pool: PinnedPool | None = None

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        """The method of this name with the plan's values.

        Raises:
            RequestError: If the three switches say nothing of it.
        """
        optimizations = plan.optimizations(name)
        if optimizations is None:
            raise RequestError(f"{name!r} has none of the three switches", "see ckpt-tui methods")
        return cls(name, optimizations)

    @abstractmethod
    def _array_spec(self, checkpoint: Path, array: str) -> dict[str, Any]:
        """Where the array of this name is and what reads it, as TensorStore's JSON has it."""

    @abstractmethod
    def _metadata(self, shape: tuple[int, ...], item_bytes: int) -> dict[str, Any]:
        """What a new array of such elements says of itself."""

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """Driver, context and metadata, as TensorStore's own JSON has them."""
        return {
            "array": self._array_spec(Path("/checkpoint"), "name"),
            "context": self._context_spec(durable=durable),
            "metadata": self._metadata((4096, 4096), 4),
            "metadata_of": "a 4096x4096 float32",
            "chunks": "T5X's divisor rule" if self._optimizations.chunk_bytes else "64x64 tiles",
            "chunk_bytes": self._optimizations.chunk_bytes,
            "arrays": "all in flight" if self._optimizations.concurrency else "one at a time",
        }

    def memory(self, device: str) -> MemoryNeed:
        """With concurrency on, what is on its way is bounded; with large chunks it is near the bound for moments only.

        From and to a GPU, it goes through a pool that is as large as the bound.
        """
        if device != "cpu":
            return MemoryNeed(in_flight_bytes=IN_FLIGHT_BYTES)
        if self._optimizations.concurrency is None:
            return MemoryNeed()
        return MemoryNeed(in_flight_bytes=IN_FLIGHT_BYTES // 2 if self._optimizations.chunk_bytes else IN_FLIGHT_BYTES)

    def parts_s(self) -> Mapping[str, float]:
        """TensorStore does not tell encoding from writing, nor reading from decoding; arrays in flight overlap."""
        return self._parts.seconds

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """Write every unique tensor as an array, and the index."""
        self._parts = PartTimes()
        tensors, aliases = unique_tensors(state)
        index = make_index(tensors, aliases)
        context = ts.Context(self._context_spec(durable=durable))
        pool = self._pool_for(next((tensor.device for tensor in tensors.values()), _CPU))
        budget = ByteBudget(IN_FLIGHT_BYTES, pool)

        async def write(name: str, tensor: torch.Tensor) -> None:
            async with budget.room(tensor.nbytes) as piece:
                # Opened first: while this array is copied, those before it are written.
                store = await ts.open(
                    self._array_spec(folder, index.arrays[name])
                    | {"metadata": self._metadata(tuple(tensor.shape), tensor.itemsize)},
                    create=True,
                    context=context,
                    dtype=ts.dtype(numpy_dtype(dtype_name(tensor.dtype))),
                    shape=tuple(tensor.shape),
                )
                if pool is not None and piece is not None:
                    with self._parts.of("device-to-host"):
                        array = to_numpy(pool.to_host(tensor.detach(), piece))
                else:
                    array = to_numpy(tensor.detach().cpu())
                # The source does not change during a save, so TensorStore need not copy it first.
                with self._parts.of("encode+write+sync" if durable else "encode+write"):
                    await store.write(array, can_reference_source_data_indefinitely=True)

        self._run(write(name, tensor) for name, tensor in tensors.items())
        write_index(index, folder, durable=durable)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        """Read every array that the index names."""
        self._parts = PartTimes()
        index = read_index(folder)
        context = ts.Context(self._context_spec(durable=None))
        pool = self._pool_for(device)
        budget = ByteBudget(IN_FLIGHT_BYTES, pool)
        loaded: StateDict = {}

        async def read(name: str) -> None:
            store = await ts.open(self._array_spec(folder, index.arrays[name]), open=True, context=context)
            async with budget.room(store.size * store.dtype.numpy_dtype.itemsize) as piece:
                if pool is None or piece is None:
                    with self._parts.of("read+decode"):
                        loaded[name] = from_numpy(await store.read()).to(device)
                    return
                array = piece.numpy().view(store.dtype.numpy_dtype).reshape(store.shape)
                with self._parts.of("read+decode"):
                    await ts.array(array).write(store)
                with self._parts.of("host-to-device"):
                    loaded[name] = pool.to_device(from_numpy(array))

        self._run(read(name) for name in index.arrays)
        return loaded | {alias: loaded[name] for alias, name in index.aliases.items()}

    def _pool_for(self, device: torch.device) -> PinnedPool | None:
        """Pinned memory on the way from and to a GPU, made once; on the CPU nothing is copied."""
        if device.type == "cpu":
            return None
        if self._pool is None or self._pool.device != device:
            self._pool = PinnedPool(IN_FLIGHT_BYTES, device)
        return self._pool

    def _context_spec(self, *, durable: bool | None) -> dict[str, Any]:
        limit = self._optimizations.concurrency
        spec: dict[str, Any] = {
            "cache_pool": {"total_bytes_limit": 0},
            "file_io_concurrency": {"limit": limit or 1},
            "data_copy_concurrency": {"limit": "shared"} if limit else {"limit": 1},
        }
        return spec if durable is None else spec | {"file_io_sync": durable}

    def _chunk_shape(self, shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
        """Chunking off: 64x64 tiles. On: T5X's rule."""
        chunk_bytes = self._optimizations.chunk_bytes
        return large_chunk_shape(shape, item_bytes, chunk_bytes) if chunk_bytes else tile_shape(shape)

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
        pool: Lends memory of as many bytes, if there is one: at least as large as the bound.
    """

    def __init__(self, limit_bytes: int, pool: PinnedPool | None = None) -> None:
        self._limit_bytes = limit_bytes
        self._pool = pool
        self._used_bytes = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def room(self, size_bytes: int) -> AsyncIterator[torch.Tensor | None]:
        """Wait until there is room for `size_bytes`, and hold it.

        Yields:
            Memory from the pool (uint8); None without a pool, for no bytes, and for what is larger than the pool, since
            to pin so much takes longer than to copy it out of ordinary memory.
        """
        piece: torch.Tensor | None = None
        counted_bytes = min(size_bytes, self._limit_bytes)
        lender = self._pool if self._pool is not None and 0 < size_bytes <= self._pool.size_bytes else None

        def fits() -> bool:
            nonlocal piece
            if self._used_bytes + counted_bytes > self._limit_bytes:
                return False
            piece = lender.take(size_bytes) if lender is not None else None
            return lender is None or piece is not None

        async with self._changed:
            await self._changed.wait_for(fits)
            self._used_bytes += counted_bytes
        try:
            yield piece
        finally:
            async with self._changed:
                self._used_bytes -= counted_bytes
                if lender is not None and piece is not None:
                    lender.give_back(piece)
                self._changed.notify_all()
