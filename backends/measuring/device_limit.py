"""The storage device's limit: what it gives a plain aligned writer or reader of the model's bytes.

It goes through the protocol of every trial (`backends.measuring.trial`) and obeys the same rules as the methods. A
durable save is one preallocated file, written past the page cache and synced; a cold load reads that file past the page
cache. Both use the same buffers again and again, so nothing is gathered or kept and nothing but the device and the
kernel's way to it is measured. This is how fio measures a device (https://fio.readthedocs.io, ``direct=1
end_fsync=1``). Where saves are buffered or loads are warm, the page cache is part of what methods get, so the limit
goes through it as well.

Block size and number of requests at a time are chosen before the clock starts (`backends.storage.block_sizes`), on a
part of the bytes.
"""

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

from backends.measuring.trial import Report, Trial
from backends.storage import block_sizes
from backends.storage.blocks import DIRECT, Pattern, buffers, in_blocks, open_file, read_at, write_at
from backends.storage.folder import preallocate, sync_path, sync_tree
from backends.tensors import VerificationError
from state.plan import Operation, Plan
from state.units import KIB, MIB

FILE_NAME: Final = "limit.bin"
_COMPARE_BYTES: Final = 16 * MIB
#: The most promising first, since time may run out.
PATTERNS: Final = (
    Pattern(2 * MIB, 8),
    Pattern(MIB, 8),
    Pattern(MIB, 16),
    Pattern(4 * MIB, 4),
    Pattern(4 * MIB, 1),
    Pattern(512 * KIB, 32),
    Pattern(256 * KIB, 32),
)
_MOST_THREADS: Final = max(pattern.depth for pattern in PATTERNS)
#: All requests that may be in flight. Blocks divide it: none reaches beyond its end.
_BUFFER_BYTES: Final = max(pattern.block_bytes * pattern.depth for pattern in PATTERNS)


class LimitTrial(Trial):
    """A trial of the limit.

    Args:
        source: Memory that begins on a page and ends on one, with as many bytes as the model has.
        plan: What to measure.
        operation: Which half.
        report: Told every phase.
    """

    def __init__(self, source: memoryview, plan: Plan, operation: Operation, report: Report) -> None:
        super().__init__(plan, operation, report, len(source))
        self._source = source
        self._threads = ThreadPoolExecutor(_MOST_THREADS)
        self._buffers = memoryview(buffers(_BUFFER_BYTES))
        self._try_bytes = min(len(source), block_sizes.TRY_BYTES)
        # The page cache belongs to what is measured where saves are buffered and where loads are warm.
        self._through_cache = not self._durable if operation == "save" else plan.cache == "warm"
        self._direct = bool(DIRECT) and not self._through_cache
        self._pattern = PATTERNS[0]
        self._tried: list[dict[str, float]] = []

    def _warm_up(self, folder: Path) -> None:
        """Bring up threads and buffers, and find the pattern that suits the device."""
        content = self._source[:_BUFFER_BYTES]
        self._buffers[: len(content)] = content
        try:
            self._choose(folder)
        except OSError as error:
            if not self._direct or error.errno != errno.EINVAL:
                raise
            self._direct = False  # the file system has no way past the page cache
            self._choose(folder)

    def _choose(self, folder: Path) -> None:
        """Try the patterns on a file of their own: the checkpoint's pages shall be as untouched as any method's."""
        path = folder.with_name(f"{folder.name}-{FILE_NAME}")
        try:
            if self._operation == "load":
                self._write_file(path, self._try_bytes, PATTERNS[0])
                sync_path(path)
            self._try_all(path)
        finally:
            path.unlink(missing_ok=True)

    def _try_all(self, path: Path) -> None:
        attempt = self._try_write if self._operation == "save" else self._try_read
        self._pattern, times_s = block_sizes.choose(PATTERNS, lambda pattern: attempt(path, pattern))
        self._tried = block_sizes.told(times_s, self._try_bytes)

    def _try_write(self, path: Path, pattern: Pattern) -> float:
        path.unlink(missing_ok=True)
        start_s = time.perf_counter()
        self._write_file(path, self._try_bytes, pattern)
        if self._durable:
            sync_path(path)
        return time.perf_counter() - start_s

    def _try_read(self, path: Path, pattern: Pattern) -> float:
        start_s = time.perf_counter()
        self._read_file(path, self._try_bytes, pattern)
        return time.perf_counter() - start_s

    def _write(self, folder: Path) -> None:
        self._write_file(folder / FILE_NAME, len(self._source), self._pattern)

    def _sync(self, folder: Path) -> None:
        sync_tree(folder)

    def _verify_source(self) -> None:
        """Nothing could change it: what is written are the buffers."""

    def _read(self, folder: Path) -> None:
        self._read_file(folder / FILE_NAME, len(self._source), self._pattern)

    def _verify(self, folder: Path) -> None:
        """Compare the file with what was written: what was read was not kept."""
        with (folder / FILE_NAME).open("rb") as file:
            for start in range(0, len(self._source), _COMPARE_BYTES):
                content = self._source[start % _BUFFER_BYTES :][: min(_COMPARE_BYTES, len(self._source) - start)]
                expected = np.frombuffer(content, np.uint8)
                if not np.array_equal(np.fromfile(file, np.uint8, _COMPARE_BYTES), expected):
                    raise VerificationError(f"the limit's file differs within 16 MiB of byte {start:,}")

    def _spec(self) -> dict[str, Any]:
        spec = {
            **self._pattern._asdict(),
            "direct": self._direct,
            "tried": self._tried,
        }
        if self._operation == "save":
            spec["synced"] = self._durable
        if self._through_cache:
            spec["note"] = "through the page cache, as this run's rules ask for"
        elif not self._direct:
            spec["note"] = "through the page cache: the file system has no way past it"
        return spec

    def _filled_bytes(self, checkpoint_bytes: int) -> int:
        return 0 if self._direct else checkpoint_bytes  # its buffers are there since the warm-up

    def _synchronise(self) -> None:
        """Nothing works on its own: a request returns when it is done."""

    def _write_file(self, path: Path, size_bytes: int, pattern: Pattern) -> None:
        """Write the buffers, which hold the beginning of the model, again and again until the file is large enough."""
        fd = open_file(path, os.O_WRONLY | os.O_CREAT, direct=self._direct)

        def write(slot: int, start: int, end: int) -> None:
            write_at(fd, self._buffers[start % _BUFFER_BYTES :][: end - start], start)

        try:
            preallocate(fd, size_bytes)
            in_blocks(self._threads, write, 0, size_bytes, pattern)
        finally:
            os.close(fd)

    def _read_file(self, path: Path, size_bytes: int, pattern: Pattern) -> None:
        fd = open_file(path, os.O_RDONLY, direct=self._direct)

        def read(slot: int, start: int, end: int) -> None:
            buffer = self._buffers[slot * pattern.block_bytes :]
            read_at(fd, buffer[: end - start], start, end)

        try:
            in_blocks(self._threads, read, 0, size_bytes, pattern)
        except EOFError as error:
            raise VerificationError(f"the limit's file is damaged: {error}") from None
        finally:
            os.close(fd)
