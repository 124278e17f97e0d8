"""What the kernel holds in memory for the disk: wait until it is quiet, empty it, and prove that it is empty."""

import ctypes
import mmap
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

from backends.storage.folder import files_below, sync_filesystem
from state.units import MIB

#: Dirty and writeback pages of the whole system below which the disk counts as quiet. Other programs' log lines keep
#: a little dirty at all times, so zero would never come.
QUIET_BYTES: Final = 8 * MIB
_DROP_CACHES: Final = Path("/proc/sys/vm/drop_caches")
_MEMINFO: Final = Path("/proc/meminfo")
_MAPS: Final = Path("/proc/self/maps")


def unwritten_bytes() -> int | None:
    """Dirty and writeback pages of the whole system, or None where the system does not tell."""
    if not _MEMINFO.exists():
        return None
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    return sum(int(fields[name].split()[0]) * 1024 for name in ("Dirty", "Writeback"))


def settle(folder: Path, timeout_s: float = 30.0) -> bool:
    """Write back what is dirty and wait until the disk is quiet.

    Returns:
        Whether that happened in time. Where the system does not tell, a completed sync counts.
    """
    deadline_s = time.monotonic() + timeout_s
    sync_filesystem(folder)
    while (unwritten_bytes() or 0) > QUIET_BYTES:
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
        sync_filesystem(folder)
    return True


def can_drop_caches() -> bool:
    """Whether this process may drop the system's whole page cache."""
    return os.access(_DROP_CACHES, os.W_OK)


def drop_caches() -> bool:
    """Drop the system's clean pages, directory entries and inodes. Returns whether that was permitted."""
    try:
        _DROP_CACHES.write_text("3")
    except OSError:
        return False
    return True


class Residency(NamedTuple):
    """How much of some files is in memory, and how much there is of them, both in whole pages."""

    resident_bytes: int
    total_bytes: int


def residency(folder: Path) -> Residency | None:
    """How much of the files below `folder` is in memory; None where it cannot be seen."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "mincore"):
        return None
    pages = [_pages(libc, path) for path in files_below(folder)]
    resident, total = (sum(column) * mmap.PAGESIZE for column in zip(*pages, strict=True)) if pages else (0, 0)
    return Residency(resident, total)


def _pages(libc: ctypes.CDLL, path: Path) -> tuple[int, int]:
    """Pages of a file that are in memory, and all of them."""
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        return 0, 0
    # A private mapping is the only kind that ctypes takes an address of without write access to the file; mincore
    # looks through it at the page cache, because no page of it was ever touched.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapping:
        pages = -(-size_bytes // mmap.PAGESIZE)
        vector = (ctypes.c_ubyte * pages)()
        anchor = ctypes.c_char.from_buffer(mapping)
        try:
            failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(anchor)), ctypes.c_size_t(size_bytes), vector)
        finally:
            del anchor  # the mapping cannot close while its address is exported
        if failed:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
        return sum(flags & 1 for flags in bytes(vector)), pages


def evict(folder: Path) -> None:
    """Push every page of the files below `folder` out of memory, as far as the system allows it."""
    sync_filesystem(folder)  # dirty pages cannot be dropped
    if hasattr(os, "posix_fadvise"):
        for path in files_below(folder):
            fd = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)
    drop_caches()


def read_through(folder: Path) -> None:
    """Bring every page of the files below `folder` into memory."""
    for path in files_below(folder):
        with path.open("rb", buffering=0) as file:
            while file.read(MIB):
                pass


def mapped_ranges(folder: Path) -> list[range]:
    """Addresses at which this process has files below `folder` mapped; none where the system does not tell."""
    if not _MAPS.exists():
        return []
    below = f"{folder.resolve()}/"
    # Address range, permissions, offset, device, inode, path: see proc(5).
    fields = [line.split(maxsplit=5) for line in _MAPS.read_text(errors="surrogateescape").splitlines()]
    spans = [line[0].split("-") for line in fields if len(line) == 6 and line[5].startswith(below)]
    return [range(int(start, 16), int(end, 16)) for start, end in spans]
