"""What lies on the disk, as zarr-python sees it, and what TensorStore is told."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from backends.methods.registry import create
from backends.methods.tensorstore import family
from backends.methods.tensorstore.family import DTYPES, ArrayMethod, ByteBudget
from backends.methods.tensorstore.index import read_index
from backends.methods.tensorstore.zarr2 import TensorStore
from backends.storage.pinned import PinnedPool
from backends.tensors import StateDict, verify
from state.codecs import CODEC_LEVELS, Codec
from state.optimizations import CELLS, MIN_CHUNK_BYTES
from state.plan import CELL_NAMES, Plan
from tests.backends.samples import CPU, random_tensor, raw

#: zarr-python knows no dtype of ml_dtypes, so it reads those as integers of the same size.
AS_INTEGERS = {"bfloat16": "<u2"} | dict.fromkeys((name for name in DTYPES if name.startswith("float8")), "|u1")
#: shape -> tile, T5X's chunk of at most 64 KiB of float32, number of tiles, number of chunks; worked out by hand.
CHUNKS: dict[tuple[int, ...], tuple[list[int], list[int], int, int]] = {
    (): ([], [], 1, 1),
    (3,): ([3], [3], 1, 1),
    (0, 5): ([1, 5], [1, 5], 0, 0),
    (65, 64): ([64, 64], [65, 64], 2, 1),
    (96, 1000): ([64, 64], [96, 125], 32, 8),
    (300, 300): ([64, 64], [100, 150], 25, 6),
    (1009, 20): ([64, 20], [1, 20], 16, 1009),
    (2, 70, 130): ([2, 64, 64], [2, 70, 65], 6, 2),
}
#: codec -> what zarr's metadata say, and the name of the level there.
IN_ZARR: dict[str, tuple[dict[str, Any], str]] = {
    "gzip": ({"id": "gzip"}, "level"),
    "zstd": ({"id": "zstd"}, "level"),
    "blosc-lz4": ({"id": "blosc", "cname": "lz4", "shuffle": 1, "blocksize": 0}, "clevel"),
    "blosc-zstd": ({"id": "blosc", "cname": "zstd", "shuffle": 1, "blocksize": 0}, "clevel"),
}
CODECS = [Codec(name, level) for name, (low, high, _) in CODEC_LEVELS.items() for level in (low, high)]
GZIP = Codec()


def cell(name: str, codec: Codec = GZIP, concurrency: int = 8) -> TensorStore:
    return TensorStore.create(name, Plan(codec=codec, chunk_bytes=MIN_CHUNK_BYTES, concurrency=concurrency))


def save(name: str, state: StateDict, folder: Path, codec: Codec = GZIP) -> dict[str, dict[str, Any]]:
    """Save, and return the zarr metadata of every tensor."""
    cell(name, codec).save(state, folder, durable=False)
    arrays = read_index(folder).arrays
    return {name: json.loads((folder / array / ".zarray").read_bytes()) for name, array in arrays.items()}


def chunk_files(folder: Path) -> list[Path]:
    """Files of chunks: no metadata, no index."""
    return [path for path in folder.glob("*/*") if path.name != ".zarray"]


def assert_zarr_reads_the_same(state: StateDict, folder: Path) -> None:
    """Read a checkpoint with the other implementation of zarr. Changes the metadata of foreign dtypes."""
    for name, array in read_index(folder).arrays.items():
        path = folder / array / ".zarray"
        metadata = json.loads(path.read_bytes())
        metadata["dtype"] = AS_INTEGERS.get(metadata["dtype"], metadata["dtype"])
        path.write_text(json.dumps(metadata))
        values = np.asarray(zarr.open_array(folder / array, mode="r", zarr_format=2)[...])
        assert (values.shape, values.tobytes()) == (tuple(state[name].shape), raw(state[name])), name


@pytest.mark.parametrize("name", CELL_NAMES)
def test_zarr_python_reads_every_dtype_bit_for_bit(name: str, tmp_path: Path) -> None:
    shapes = [(), (67, 131), (0, 5), (200, 100)]
    state = {f"{dtype}.{shape}": random_tensor(dtype, shape) for dtype in DTYPES for shape in shapes}
    metadata = save(name, state, tmp_path)
    assert metadata["bfloat16.()"]["dtype"] == "bfloat16"
    assert {found["compressor"] and found["compressor"]["id"] for found in metadata.values()} == {
        "gzip" if CELLS[name][2] else None
    }
    assert_zarr_reads_the_same(state, tmp_path)


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("name", ["ts+compression", "t5x"])
def test_zarr_python_reads_every_codec_and_the_metadata_name_it(name: str, codec: Codec, tmp_path: Path) -> None:
    state = {"weight": torch.randn(150, 200).bfloat16(), "bias": torch.randn(7), "steps": torch.tensor(3)}
    metadata = save(name, state, tmp_path, codec)
    fields, level = IN_ZARR[codec.name]
    assert [found["compressor"] for found in metadata.values()] == [fields | {level: codec.level}] * 3
    told = cell(name, codec).spec(durable=True)["metadata"]["compressor"]
    assert told.items() <= metadata["weight"]["compressor"].items()
    assert_zarr_reads_the_same(state, tmp_path)


@pytest.mark.parametrize("name", CELL_NAMES)
def test_chunks_are_those_of_the_plan_and_each_is_a_file(name: str, tmp_path: Path) -> None:
    metadata = save(name, {str(shape): torch.ones(shape) for shape in CHUNKS}, tmp_path)
    chunking = CELLS[name][1]
    for shape, (tile, large, _, _) in CHUNKS.items():
        found = metadata[str(shape)]
        assert (found["shape"], found["chunks"]) == (list(shape), large if chunking else tile)
    assert len(chunk_files(tmp_path)) == sum(chunks if chunking else tiles for _, _, tiles, chunks in CHUNKS.values())


@pytest.mark.parametrize("name", [name for name in CELL_NAMES if not CELLS[name][2]])
@pytest.mark.parametrize("value", [0, 1])
def test_an_uncompressed_cell_stores_every_byte_even_of_zeros(name: str, value: int, tmp_path: Path) -> None:
    full = torch.full((100, 190), value)
    state: StateDict = {"a": full.float(), "b": full > 0, "c": full.bfloat16(), "d": torch.full((), value)}
    save(name, state, tmp_path)
    sizes = [(path.stat().st_size, path.stat().st_blocks * 512) for path in chunk_files(tmp_path)]
    assert sum(size for size, _ in sizes) >= sum(tensor.nbytes for tensor in state.values())
    assert sum(allotted for _, allotted in sizes) >= sum(size for size, _ in sizes), "sparse files"


@pytest.mark.parametrize("name", CELL_NAMES)
def test_concurrency_off_limits_both_pools_to_one_and_on_to_the_plan(name: str) -> None:
    context = cell(name, concurrency=7).spec(durable=True)["context"]
    on = CELLS[name][0]
    assert context["file_io_concurrency"] == {"limit": 7 if on else 1}
    assert context["data_copy_concurrency"] == {"limit": "shared" if on else 1}
    assert context["cache_pool"] == {"total_bytes_limit": 0}


@pytest.mark.parametrize("name", CELL_NAMES)
def test_arrays_are_in_flight_together_only_with_concurrency_and_never_above_the_bound(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_flight: list[int] = []
    seen: list[int] = []

    class Watched(ByteBudget):
        @asynccontextmanager
        async def room(self, size_bytes: int) -> AsyncIterator[torch.Tensor | None]:
            async with super().room(size_bytes) as piece:
                in_flight.append(size_bytes)
                seen.append(sum(in_flight))
                yield piece
                in_flight.remove(size_bytes)

    monkeypatch.setattr(family, "ByteBudget", Watched)
    monkeypatch.setattr(family, "IN_FLIGHT_BYTES", 100_000)
    cell(name).save({str(number): torch.ones(100, 100) for number in range(9)}, tmp_path, durable=False)
    cell(name).load(tmp_path, CPU)
    assert [max(seen[:9]), max(seen[9:])] == [80_000 if CELLS[name][0] else 40_000] * 2
    assert len(seen) == 18


def test_the_byte_budget_is_used_up_never_exceeded_and_what_is_too_large_goes_alone() -> None:
    generator = random.Random(5)
    sizes = [generator.choice([0, 1, 3, 30, 60, 100, 5000]) for _ in range(300)]
    held: list[int] = []
    seen: list[list[int]] = []

    async def run() -> None:
        budget = ByteBudget(100)

        async def job(size: int) -> None:
            async with budget.room(size):
                held.append(size)
                seen.append([size for size in held if size])
                await asyncio.sleep(0)
                held.remove(size)
                if size == 30:
                    raise KeyError("a job that fails gives its bytes back")

        await asyncio.wait_for(asyncio.gather(*map(job, sizes), return_exceptions=True), 60)

    asyncio.run(run())
    assert len(seen) == len(sizes)
    assert max(sum(together) for together in seen if 5000 not in together) == 100
    assert {tuple(together) for together in seen if 5000 in together} == {(5000,)}


@pytest.mark.parametrize("name", ["t5x", "ts+chunks", "zarr3-sharded", "ocdbt"])
def test_tensors_go_through_a_pool_both_ways_as_on_a_gpu(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool of ordinary memory stands in for pinned memory: it is too small for all tensors, and for one of them."""
    pool = PinnedPool(100_000, CPU)
    lent: list[int] = []
    take = pool.take

    def watched(size_bytes: int) -> torch.Tensor | None:
        lent.append(size_bytes)
        return take(size_bytes)

    monkeypatch.setattr(pool, "take", watched)
    monkeypatch.setattr(ArrayMethod, "_pool_for", lambda method, device: pool)
    monkeypatch.setattr(family, "IN_FLIGHT_BYTES", 100_000)
    state = {str(number): random_tensor("bfloat16", (70, 300 + number), number) for number in range(6)}
    state |= {"large": random_tensor("float32", (300, 200)), "empty": torch.ones(0, 3), "scalar": torch.tensor(7)}
    state |= {"flags": random_tensor("bool", (33,)), "tied": state["large"]}
    create(name, Plan(chunk_bytes=MIN_CHUNK_BYTES)).save(state, tmp_path, durable=False)
    verify(create(name, Plan(chunk_bytes=MIN_CHUNK_BYTES)).load(tmp_path, CPU), state, CPU)
    assert set(lent) == {tensor.nbytes for name, tensor in state.items() if name not in ("large", "tied", "empty")}
    assert pool.take(100_000) is not None, "not everything was given back"
