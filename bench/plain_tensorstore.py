"""What `ts+chunks` and `t5x` measure, by hand: python plain_tensorstore.py METHOD MODEL.

For every folder that it is told on standard input it saves and loads once, each in a fork, and prints the seconds.
"""

import asyncio
import gc
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from safetensors.torch import load_file

from state.chunks import large_chunk_shape
from state.units import MIB

Arrays = dict[str, np.ndarray[Any, Any]]
on, model = sys.argv[1] == "t5x", sys.argv[2]
compressor = {"id": "gzip", "level": 1} if on else None
pools = {"file_io_concurrency": {"limit": 128 if on else 1}, "data_copy_concurrency": {"limit": "shared" if on else 1}}


async def save(arrays: Arrays, folder: Path) -> None:
    """Write all arrays, one after the other or all at once."""
    context = ts.Context(pools)

    async def write(name: str, array: np.ndarray[Any, Any]) -> None:
        metadata = {"chunks": large_chunk_shape(array.shape, array.itemsize, 64 * MIB), "compressor": compressor}
        where = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{folder / name}/"}, "metadata": metadata}
        options = {"create": True, "context": context, "dtype": array.dtype, "shape": array.shape}
        store = await ts.open(where | {"store_data_equal_to_fill_value": True}, **options)
        await store.write(array, can_reference_source_data_indefinitely=True)

    await wait_for([write(name, array) for name, array in arrays.items()])


async def load(names: Iterable[str], folder: Path) -> Arrays:
    """Read these arrays in this order, which decides when a large one keeps a single core busy."""
    context, arrays = ts.Context(pools), {}

    async def read(name: str) -> None:
        where = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{folder / name}/"}}
        arrays[name] = await (await ts.open(where, open=True, context=context)).read()

    await wait_for([read(name) for name in names])
    return arrays


async def wait_for(jobs: list[Any]) -> None:
    """One at a time, or all in flight."""
    if on:
        await asyncio.gather(*jobs)
    else:
        for job in jobs:
            await job


def shared(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy in memory that forks share, as ours has it."""
    copy = np.frombuffer(mmap.mmap(-1, array.nbytes), array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


state = {name: shared(tensor.numpy()) for name, tensor in load_file(model).items()}  # training code holds torch tensors
gc.freeze()  # a collection in a fork would copy all that torch has imported
for folder, operation in ((Path(line.strip()), operation) for line in sys.stdin for operation in ("save", "load")):
    if os.fork():
        os.wait()
        continue
    with tempfile.TemporaryDirectory(dir=folder.parent) as warm_up:
        asyncio.run(save({"tiny": np.zeros((2, 2), np.float32)}, Path(warm_up)))
        asyncio.run(load(["tiny"], Path(warm_up)))
    os.sync()
    if operation == "load":
        Path("/proc/sys/vm/drop_caches").write_text("3")
    start_s = time.perf_counter()
    if operation == "save":
        asyncio.run(save(state, folder))
        for path in (folder, folder.parent):  # TensorStore has synced its files and their folders; these are ours
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
    else:
        loaded = asyncio.run(load(state, folder))
    print(time.perf_counter() - start_s, flush=True)
    os._exit(0)
