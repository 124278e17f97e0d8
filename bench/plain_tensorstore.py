"""What `ts+chunks` and `t5x` measure, by hand: python plain_tensorstore.py save|load MODEL FOLDER METHOD."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from safetensors.numpy import load_file

from state.chunks import large_chunk_shape
from state.units import MIB

operation, model, folder, on = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4] == "t5x"
state = {name: array.copy() for name, array in load_file(model).items()} if operation == "save" else {}
compressor = {"id": "gzip", "level": 1} if on else None
pools = {"file_io_concurrency": {"limit": 128 if on else 1}, "data_copy_concurrency": {"limit": "shared" if on else 1}}
context = ts.Context(pools)


def spec(name: str) -> dict[str, Any]:
    """Where an array is."""
    kvstore = {"driver": "file", "path": f"{folder / name}/"}
    return {"driver": "zarr", "kvstore": kvstore, "store_data_equal_to_fill_value": True}


async def save(name: str, array: np.ndarray[Any, Any]) -> None:
    """Write an array."""
    chunks = large_chunk_shape(array.shape, array.itemsize, 64 * MIB)
    metadata = {"chunks": chunks, "compressor": compressor}
    store = await ts.open(
        spec(name) | {"metadata": metadata}, create=True, context=context, dtype=array.dtype, shape=array.shape
    )
    await store.write(array, can_reference_source_data_indefinitely=True)


async def load(name: str) -> None:
    """Read an array."""
    state[name] = await (await ts.open(spec(name), open=True, context=context)).read()


async def work() -> None:
    """All arrays, one after the other or all at once."""
    if operation == "save":
        jobs = [save(name, array) for name, array in state.items()]
    else:
        jobs = [load(path.name) for path in folder.iterdir()]
    if on:
        await asyncio.gather(*jobs)
    else:
        for job in jobs:
            await job


os.sync()
Path("/proc/sys/vm/drop_caches").write_text("3")
start_s = time.perf_counter()
asyncio.run(work())
if operation == "save":  # TensorStore has synced its files and their folders; the ones above are ours
    for path in (folder, folder.parent):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
print(time.perf_counter() - start_s)
