"""`direct`: ordinary safetensors files at the speed of the device."""

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import numpy as np
import torch

from backends.methods.base import Capabilities, Method
from backends.methods.entries import method
from backends.methods.part_times import PartTimes
from backends.methods.safetensors.header import (
    LENGTH_BYTES,
    DamagedFileError,
    Header,
    Place,
    decode,
    encode,
    header_bytes,
    lay_out,
)
from backends.methods.safetensors.names import DTYPES, pack, unpack
from backends.methods.safetensors.shards import INDEX_NAME, file_names, read_index, split, write_index
from backends.storage.block_sizes import TRY_BYTES, choose, told
from backends.storage.blocks import ALIGNMENT, DIRECT, Pattern, align, buffers, in_blocks, open_file, read_at, write_at
from backends.storage.buffers import Lanes, Parts, populate
from backends.storage.folder import full_sync, preallocate
from backends.tensors import StateDict
from state.errors import RequestError
from state.needs import MemoryNeed
from state.plan import Plan
from state.units import KIB, MIB

T = TypeVar("T")
_CPU: Final = torch.device("cpu")

#: Larger models are split, as files on the Hugging Face hub used to be.
SHARD_BYTES: Final = 5 * 10**9
#: How files are written, the most promising first. What is copied into a buffer should still be in the processor's
#: cache when the device takes it, and while some threads copy, enough others have to wait for the device.
PATTERNS: Final = (Pattern(2 * MIB, 8), Pattern(MIB, 16), Pattern(4 * MIB, 4), Pattern(512 * KIB, 32))
#: What is written with before anything was tried.
BLOCKS: Final = PATTERNS[0]
#: How the device reads into the tensors' own memory; requests of huge pages are few, so not many need be in flight.
READS: Final = Pattern(4 * MIB, 4)
#: Where data begins in a file so that all of its tensors lie right in memory that they are read into as they are.
_LARGEST_ITEM_BYTES: Final = 8
#: A GPU copies by itself, and asking it takes as long as half a megabyte does: blocks are large.
GPU_BLOCKS: Final = Pattern(8 * MIB, 8)


@method("direct", "safetensors past the page cache, in large blocks", "PyTorch")
class Direct(Method):
    """Safetensors, written and read past the page cache in large aligned blocks.

    Args:
        shard_bytes: More bytes of tensors than this go into several files.

    In your code:
        from backends.methods.direct import Direct

        method = Direct()
        size_bytes = sum(tensor.nbytes for tensor in state.values())
        method.tune(folder.parent, torch.device("cpu"), size_bytes)  # optional, once: the storage's best block size
        method.save(state, folder, durable=True)  # contiguous tensors, an empty folder
        loaded = Direct().load(folder, torch.device("cpu"))  # or safetensors.torch.load_file

    What it does:
        Writes the model as `model.safetensors`, or as several files with the index that Hugging Face readers expect.
        The file gets its whole place on the device first. Threads then gather tensors into aligned buffers and
        write them with O_DIRECT, so that copying one block overlaps with writing others and the page cache takes no
        part. The file is synced and renamed to its name at the very end: there is a whole checkpoint or none. To
        load, the device reads straight into where the tensors then live, one allocation a file in huge pages, which
        the system makes beside the requests, and which stays as long as any of its tensors does. Blocks are copied
        out of buffers only to a GPU, and from files whose data do not begin on a multiple of 8 bytes.

    Defaults:
        A save has 8 requests of 2 MiB in flight, or what `tune` has found to be faster among 16 of 1 MiB, 4 of 4 MiB
        and 32 of 512 KiB; here it is called before each save's clock. A load has 4 of 4 MiB. From and to a GPU, both
        have 8 of 8 MiB. Buffers are kept from one call to the next, and files have up to 5 GB. It goes past the page
        cache in buffered and in warm runs, too: it has no other way. On a file system without O_DIRECT it goes
        through the page cache and says so.

    Fidelity:
        It is ours, and nobody's default. What it writes is the standard format: `safetensors.torch.load_file`,
        `safe_open` and `from_pretrained` read it. Its header is padded to a multiple of 4096 bytes, as the format
        allows. Tied tensors are stored once with the note that `safetensors.torch.save_model` leaves.

    Sources:
        https://huggingface.co/docs/safetensors
        https://man7.org/linux/man-pages/man2/open.2.html (O_DIRECT)
        https://arxiv.org/abs/2406.13768 (FastPersist: double-buffered aligned writes)
    """

    capabilities = Capabilities(dtypes=frozenset(DTYPES), syncs_itself=True)

    def __init__(self, shard_bytes: int = SHARD_BYTES) -> None:
        self._shard_bytes = shard_bytes
        self._direct = bool(DIRECT)
        self._lanes: Lanes | None = None
        self._parts = PartTimes()
        self._tried: list[dict[str, float]] = []

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        """Nothing of the plan applies."""
        return cls()

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """Blocks, threads, and which way they go."""
        pattern = self._lanes.pattern if self._lanes is not None else BLOCKS
        spec: dict[str, Any] = {
            "format": "safetensors",
            **pattern._asdict(),
            "threads": pattern.depth,
            "shard_bytes": self._shard_bytes,
            "direct": self._direct,
            "synced": durable,
        }
        if self._tried:
            spec["tried"] = self._tried
        if not self._direct:
            spec["note"] = "through the page cache: direct I/O was refused"
        return spec

    def memory(self, device: str) -> MemoryNeed:
        """The page cache takes no part, unless the file system refuses to go past it."""
        return MemoryNeed(page_cache_copies=0.0 if self._direct else 1.0)

    def parts_s(self) -> Mapping[str, float]:
        """Copying and moving blocks on all threads, and the last sync."""
        return self._parts.seconds

    def tune(self, folder: Path, device: torch.device, size_bytes: int) -> None:
        """Write a file of at most 64 MiB with each pattern, and keep to the fastest. A GPU's stay as they are."""
        if device.type != "cpu":
            return
        size_bytes = min(size_bytes, TRY_BYTES)
        content = {"tried": torch.from_numpy(np.random.default_rng(0).integers(0, 256, size_bytes, np.uint8))}
        header = lay_out(content, {})
        path = folder / "tune.partial"
        lanes = {pattern: Lanes(pattern, device) for pattern in PATTERNS}

        def attempt(pattern: Pattern) -> float:
            path.unlink(missing_ok=True)
            start_s = time.perf_counter()
            self._write(path, header, content, lanes[pattern], durable=True)
            return time.perf_counter() - start_s

        try:
            best, times_s = choose(PATTERNS, attempt)
        finally:
            path.unlink(missing_ok=True)
        self._lanes, self._tried = lanes[best], told(times_s, size_bytes)

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """Write all files under other names, and rename them when all are whole."""
        tensors, metadata = pack(state)
        shards = split(tensors, self._shard_bytes)
        files = dict(zip(file_names(len(shards)), shards, strict=True))
        finals = [folder / name for name in files]
        if present := [path.name for path in (*finals, folder / INDEX_NAME) if path.exists()]:
            raise FileExistsError(errno.EEXIST, "it holds a checkpoint already: choose an empty folder", present[0])
        self._parts = PartTimes()
        try:
            lanes = self._lanes_for(_device(tensors))
            for final, shard in zip(finals, files.values(), strict=True):
                self._write(_partial(final), lay_out(shard, metadata), shard, lanes, durable=durable)
            if len(files) > 1:
                finals.append(folder / INDEX_NAME)  # the last to be renamed: it says that all are there
                write_index(_partial(folder / INDEX_NAME), files, durable=durable)
            for final in finals:
                _partial(final).rename(final)
        except BaseException:
            for final in finals:
                _partial(final).unlink(missing_ok=True)
                final.unlink(missing_ok=True)
            raise

    def load(self, folder: Path, device: torch.device) -> StateDict:
        """Read every file of the checkpoint.

        Raises:
            DamagedFileError: If a file is not what it says that it is.
        """
        tensors: StateDict = {}
        metadata: dict[str, str] = {}
        self._parts = PartTimes()
        lanes = self._lanes_for(device)
        for name, expected in read_index(folder).items():
            header, data = self._read(folder / name, lanes)
            if expected is not None and expected != header.places.keys():
                raise DamagedFileError(f"{name} does not hold the tensors that the index looks for in it")
            tensors |= {name: _tensor(data, place) for name, place in header.places.items()}
            metadata |= header.metadata
        return unpack(tensors, metadata)

    def _lanes_for(self, device: torch.device) -> Lanes:
        """Threads and buffers: made once, since fresh pages, and pinned ones more so, take as long as many blocks."""
        if self._lanes is None or self._lanes.device != device:
            self._lanes = Lanes(BLOCKS if device.type == "cpu" else GPU_BLOCKS, device)
        return self._lanes

    def _write(self, path: Path, header: Header, tensors: StateDict, lanes: Lanes, *, durable: bool) -> None:
        front = torch.frombuffer(bytearray(encode(header, ALIGNMENT)), dtype=torch.uint8)
        parts = Parts([front, *(tensors[name].detach().view(-1).view(torch.uint8) for name in header.places)])
        whole_bytes = align(parts.size_bytes)  # the last block is written whole, too
        lanes.follow()

        def work() -> None:
            with self._opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as fd:
                preallocate(fd, whole_bytes)

                def write(slot: int, start: int, end: int) -> None:
                    with self._parts.of("device-to-host" if lanes.device.type == "cuda" else "copy"):
                        lanes.gather(slot, parts.between(start, end))
                    with self._parts.of("write"):
                        write_at(fd, lanes.views[slot][: end - start], start)

                in_blocks(lanes.threads, write, 0, whole_bytes, lanes.pattern)
                os.ftruncate(fd, parts.size_bytes)
                if durable:
                    with self._parts.of("sync"):
                        full_sync(fd)

        self._past_the_cache_if_possible(work)

    def _read(self, path: Path, lanes: Lanes) -> tuple[Header, torch.Tensor]:
        """The header of a file, and its data in memory of their own."""

        def work() -> tuple[Header, torch.Tensor]:
            with self._opened(path, os.O_RDONLY) as fd:
                file_bytes = os.fstat(fd).st_size
                length = self._read_range(fd, 0, min(LENGTH_BYTES, file_bytes), lanes, _CPU)
                start = LENGTH_BYTES + header_bytes(length.numpy().tobytes(), file_bytes)
                text = self._read_range(fd, LENGTH_BYTES, start, lanes, _CPU)
                header = decode(text.numpy().tobytes(), file_bytes - start)
                return header, self._read_data(fd, start, file_bytes, lanes)

        try:
            return self._past_the_cache_if_possible(work)
        except EOFError as error:
            raise DamagedFileError(f"{path.name} is cut short: {error}") from None

    def _read_data(self, fd: int, start: int, end: int, lanes: Lanes) -> torch.Tensor:
        """All tensors of a file in memory of their own."""
        if lanes.device.type != "cpu" or start % _LARGEST_ITEM_BYTES:
            return self._read_range(fd, start, end, lanes, lanes.device)
        base, limit = start // ALIGNMENT * ALIGNMENT, align(end)
        # As much of the header, and of nothing behind the end, as direct requests bring along.
        memory = torch.frombuffer(buffers(max(limit - base, ALIGNMENT)), dtype=torch.uint8)
        view = memory.numpy().data

        def read(_slot: int, block: int, block_end: int) -> None:
            with self._parts.of("read"):
                read_at(fd, view[block - base : block_end - base], block, end)

        fresh = lanes.threads.submit(populate, memory)
        in_blocks(lanes.threads, read, base, limit, READS)
        fresh.result()
        return memory[start - base : end - base]

    def _read_range(self, fd: int, start: int, end: int, lanes: Lanes, device: torch.device) -> torch.Tensor:
        """Bytes of a file, copied out of the buffers to memory of their own on a device."""
        base, limit = start // ALIGNMENT * ALIGNMENT, align(end)  # in other people's files, tensors begin anywhere
        memory = torch.empty(end - start, dtype=torch.uint8, device=device)
        lanes.follow()

        def read(slot: int, block: int, block_end: int) -> None:
            first, last = max(block, start), min(block_end, end)
            with self._parts.of("read"):
                read_at(fd, lanes.views[slot][: block_end - block], block, last)
            with self._parts.of("host-to-device" if device.type == "cuda" else "copy"):
                lanes.deliver(slot, first - block, memory[first - start : last - start])

        in_blocks(lanes.threads, read, base, limit, lanes.pattern)
        return memory

    @contextmanager
    def _opened(self, path: Path, flags: int) -> Iterator[int]:
        fd = open_file(path, flags, direct=self._direct)
        try:
            yield fd
        finally:
            os.close(fd)

    def _past_the_cache_if_possible(self, work: Callable[[], T]) -> T:
        """Do it directly; where the file system refuses that, on opening or later, once more through the page cache."""
        try:
            return work()
        except OSError as error:
            if not self._direct or error.errno != errno.EINVAL:
                raise
        self._direct = False
        return work()


def _partial(final: Path) -> Path:
    """What a file is called until it is whole."""
    return final.with_name(f"{final.name}.partial")


def _device(tensors: StateDict) -> torch.device:
    """Where all tensors are.

    Raises:
        RequestError: If they are on several devices.
    """
    devices = {tensor.device for tensor in tensors.values()} or {_CPU}
    if len(devices) > 1:
        raise RequestError(f"its tensors are on {', '.join(map(str, devices))}", "move them to one device first")
    return devices.pop()


def _tensor(data: torch.Tensor, place: Place) -> torch.Tensor:
    """A tensor in the memory that its file was read into."""
    content = data[place.start : place.end]
    if content.storage_offset() % place.dtype.itemsize:  # never in files of ours
        content = content.clone()
    return content.view(place.dtype).view(place.shape)
