"""What the TensorStore family measures, by hand (see `bench.plain`)."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
import torch

from bench.plain import DEVICE, METHOD, Tensors, serve, sync
from state.chunks import large_chunk_shape
from state.units import MIB

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]
form = METHOD.partition("+")[0]  # tensorstore and ts, t5x, zarr3, zarr3-sharded, ocdbt
concurrent = form not in ("tensorstore", "ts") or "+concurrency" in METHOD
chunked = form not in ("tensorstore", "ts") or "+chunks" in METHOD
compressed = form == "t5x" or "+compression" in METHOD
pools = {
    "file_io_concurrency": {"limit": 128 if concurrent else 1},
    "data_copy_concurrency": {"limit": "shared" if concurrent else 1},
}


def where(folder: Path, name: str) -> dict[str, Any]:
    """The spec of an array."""
    if form == "ocdbt":
        base = {"driver": "file", "path": f"{folder}/"}
        return {"driver": "zarr3", "kvstore": {"driver": "ocdbt", "base": base, "path": f"{name}/"}}
    driver = "zarr3" if form.startswith("zarr3") else "zarr"
    return {"driver": driver, "kvstore": {"driver": "file", "path": f"{folder / name}/"}}


def metadata(array: Array) -> dict[str, Any]:
    """What a new array says of itself."""
    chunk = large_chunk_shape(array.shape, array.itemsize, 64 * MIB) if chunked else [min(64, n) for n in array.shape]
    if form in ("tensorstore", "ts", "t5x"):
        return {"chunks": chunk, "compressor": {"id": "gzip", "level": 1} if compressed else None}
    codecs: list[Any] = [{"name": "bytes", "configuration": {"endian": "little"}}]
    if compressed:
        codecs.append({"name": "gzip", "configuration": {"level": 1}})
    if form == "zarr3-sharded":
        inner = large_chunk_shape(tuple(chunk), array.itemsize, 4 * MIB)
        codecs = [{"name": "sharding_indexed", "configuration": {"chunk_shape": inner, "codecs": codecs}}]
    return {
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "codecs": codecs,
    }


async def save(arrays: Arrays, folder: Path) -> None:
    """Write all arrays, one after the other or all at once."""
    context = ts.Context(pools)

    async def write(name: str, array: Array) -> None:
        spec = where(folder, name) | {"metadata": metadata(array), "store_data_equal_to_fill_value": True}
        options = {"create": True, "context": context, "dtype": array.dtype, "shape": array.shape}
        store = await ts.open(spec, **options)
        await store.write(array, can_reference_source_data_indefinitely=True)

    await wait_for([write(name, array) for name, array in arrays.items()])


async def load(names: Iterable[str], folder: Path) -> Arrays:
    """Read these arrays in this order, which decides when a large one keeps a single core busy."""
    context, arrays = ts.Context(pools), {}

    async def read(name: str) -> None:
        arrays[name] = await (await ts.open(where(folder, name), open=True, context=context)).read()

    await wait_for([read(name) for name in names])
    return arrays


async def wait_for(jobs: list[Any]) -> None:
    """One at a time, or all in flight."""
    if concurrent:
        await asyncio.gather(*jobs)
    else:
        for job in jobs:
            await job


def save_durably(state: Tensors, folder: Path) -> None:
    """TensorStore syncs its files and their folders; the checkpoint's own folder and its parent are ours."""
    asyncio.run(save({name: tensor.cpu().numpy() for name, tensor in state.items()}, folder))
    sync(folder, folder.parent)


def load_all(state: Tensors, folder: Path) -> Tensors:
    """Every array."""
    return {name: torch.from_numpy(array).to(DEVICE) for name, array in asyncio.run(load(state, folder)).items()}


serve(save_durably, load_all)
