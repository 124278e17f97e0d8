"""What a machine gives besides its storage device: memory, codecs, small files, the way to a GPU.

Measured once per run before the first trial, in about a second, so that a method's time can be explained: which part of
it is what this machine takes for such a job at best. All rates are of one core, or of one request at a time.
"""

import fcntl
import os
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import tensorstore as ts
import torch

from backends.methods.tensorstore.family import DTYPES
from backends.methods.tensorstore.zarr2 import compressor
from backends.storage import pagecache
from backends.storage.folder import full_sync
from backends.tensors import Array, dtype_name, to_numpy
from state.codecs import Codec
from state.plan import Cache, Plan
from state.run.records import Limits
from state.units import KIB, MIB

#: A sample of the tensors is cut into pieces, each a chunk of its own. Larger ones change no rate by more than noise.
PIECE_BYTES: Final = 2 * MIB
_SAMPLE_PIECES: Final = 8
_COPY_BYTES: Final = 64 * MIB
_COPIES: Final = 5
FILE_BYTES: Final = 16 * KIB
_MOST_FILES: Final = 256
#: How long each codec, and each of writing and reading small files, may take.
_BUDGET_S: Final = 0.2
_GZIP: Final = Codec("gzip", 1)
_ZSTD: Final = Codec("zstd", 1)


def measure_machine(tensors: Mapping[str, torch.Tensor], plan: Plan, folder: Path) -> Limits:
    """Everything but the storage device's own rates.

    Args:
        tensors: The run's own, contiguous and on the CPU.
        plan: Whose codec, policies and device count.
        folder: On the storage under test; small files come and go in it.
    """
    sample = pieces(tensors, _SAMPLE_PIECES)
    codecs = {codec: codec_rates(sample, codec) for codec in dict.fromkeys((_GZIP, _ZSTD, plan.codec))}
    encode_bytes_per_s, decode_bytes_per_s = codecs[plan.codec]
    file_write_s, file_read_s = file_costs(folder / "files", durable=plan.durability == "durable", cache=plan.cache)
    device = torch.device(plan.device)
    pinned, pageable = (transfer_rates(device, pinned=pinned) for pinned in (True, False))
    return Limits(
        memory_copy_bytes_per_s=copy_rate(),
        gzip_bytes_per_s=codecs[_GZIP][0],
        zstd_bytes_per_s=codecs[_ZSTD][0],
        codec_encode_bytes_per_s=encode_bytes_per_s,
        codec_decode_bytes_per_s=decode_bytes_per_s,
        file_write_s=file_write_s,
        file_read_s=file_read_s,
        device_to_host_bytes_per_s=pinned[0],
        host_to_device_bytes_per_s=pinned[1],
        device_to_host_pageable_bytes_per_s=pageable[0],
        host_to_device_pageable_bytes_per_s=pageable[1],
    )


def pieces(tensors: Mapping[str, torch.Tensor], count: int) -> list[Array]:
    """Parts of tensors, evenly spread over the bytes of all that zarr can hold; each within one tensor.

    Args:
        tensors: Contiguous and on the CPU.
        count: How many at most; fewer of a small model, none of one without bytes.
    """
    arrays = [to_numpy(t).reshape(-1) for t in tensors.values() if dtype_name(t.dtype) in DTYPES and t.nbytes]
    ends = np.cumsum([array.nbytes for array in arrays])
    total = int(ends[-1]) if arrays else 0
    count = min(count, -(-total // PIECE_BYTES))
    taken = []
    for position in (total * number // count for number in range(count)):
        which = int(np.searchsorted(ends, position, side="right"))
        array = arrays[which]
        start = (position - int(ends[which]) + array.nbytes) // array.itemsize
        taken.append(array[start : start + PIECE_BYTES // array.itemsize])
    return taken


def codec_rates(sample: list[Array], codec: Codec) -> tuple[float | None, float | None]:
    """Raw bytes per second that one core encodes and decodes, or None without a sample.

    It is TensorStore that encodes, into memory: exactly the implementation that the methods use.
    """
    context = ts.Context({"data_copy_concurrency": {"limit": 1}, "cache_pool": {"total_bytes_limit": 0}})
    size_bytes, encode_s, decode_s = 0, 0.0, 0.0
    warm_up = [array[: 64 * KIB // array.itemsize] for array in sample[:1]]
    for number, array in enumerate((*warm_up, *sample)):
        store = ts.open(
            {
                "driver": "zarr",
                "kvstore": {"driver": "memory", "path": f"{number}/"},
                "metadata": {"compressor": compressor(codec), "chunks": [array.size]},
                "store_data_equal_to_fill_value": True,
            },
            create=True,
            context=context,
            dtype=ts.dtype(array.dtype),
            shape=array.shape,
        ).result()
        start_s = time.perf_counter()
        store.write(array, can_reference_source_data_indefinitely=True).result()
        encoded_s = time.perf_counter()
        store.read().result()
        decoded_s = time.perf_counter()
        if number < len(warm_up):
            continue
        size_bytes += array.nbytes
        encode_s += encoded_s - start_s
        decode_s += decoded_s - encoded_s
        if encode_s + decode_s > _BUDGET_S:
            break
    return (size_bytes / encode_s, size_bytes / decode_s) if size_bytes else (None, None)


def copy_rate() -> float:
    """Bytes per second that one core copies from memory to memory."""
    source, target = np.ones(_COPY_BYTES, np.uint8), np.ones(_COPY_BYTES, np.uint8)  # both are resident now
    return _COPY_BYTES / _typical_s(lambda: np.copyto(target, source))


def transfer_rates(device: torch.device, *, pinned: bool) -> tuple[float | None, float | None]:
    """Bytes per second from a GPU into memory of the host, and back; None for the CPU."""
    if device.type != "cuda":
        return None, None
    on_host = torch.ones(_COPY_BYTES, dtype=torch.uint8, pin_memory=pinned)
    on_device = on_host.to(device)

    def copy(target: torch.Tensor, source: torch.Tensor) -> None:
        target.copy_(source, non_blocking=True)
        torch.cuda.synchronize(device)

    to_host_s = _typical_s(lambda: copy(on_host, on_device))
    return _COPY_BYTES / to_host_s, _COPY_BYTES / _typical_s(lambda: copy(on_device, on_host))


def _typical_s(work: Callable[[], None]) -> float:
    """The median time of a job, after one that is discarded."""
    times_s = []
    for _ in range(1 + _COPIES):
        start_s = time.perf_counter()
        work()
        times_s.append(time.perf_counter() - start_s)
    return statistics.median(times_s[1:])


def file_costs(folder: Path, *, durable: bool, cache: Cache) -> tuple[float, float]:
    """Seconds to make one small file and seconds to read one, one after the other in a new folder.

    What happens to a file is what TensorStore's file driver does by default: a lock file is made, locked and written,
    synced, renamed into place, and its folder is synced; to read it, it is opened, looked at, and read whole.

    Args:
        folder: Does not exist yet, and does not afterwards.
        durable: Whether files and their folder are synced.
        cache: Whether the files are in memory when they are read.
    """
    content = bytes(range(256)) * (FILE_BYTES // 256)
    folder.mkdir()
    try:
        _write_file(folder, "warm-up", content, durable=durable)
        count, start_s, write_s = 0, time.perf_counter(), 0.0
        while count < _MOST_FILES and write_s < _BUDGET_S:
            _write_file(folder, str(count), content, durable=durable)
            count += 1
            write_s = time.perf_counter() - start_s
        if cache == "cold":
            pagecache.evict(folder)
        start_s = time.perf_counter()
        for number in range(count):
            _read_file(folder / str(number))
        read_s = time.perf_counter() - start_s
    finally:
        shutil.rmtree(folder)
    return write_s / count, read_s / count


def _write_file(folder: Path, name: str, content: bytes, *, durable: bool) -> None:
    folder_fd = os.open(folder, os.O_RDONLY)
    lock = folder / f"{name}.__lock"
    fd = os.open(lock, os.O_WRONLY | os.O_CREAT, 0o666)
    fcntl.lockf(fd, fcntl.LOCK_EX)
    os.write(fd, content)
    if durable:
        full_sync(fd)
    lock.rename(folder / name)
    if durable:
        full_sync(folder_fd)
    os.close(fd)
    os.close(folder_fd)


def _read_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.read(fd, os.fstat(fd).st_size)
    os.close(fd)
