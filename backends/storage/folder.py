"""The folder on the disk under test: is it fit, how much room is there, what lies on it, is it on the device."""

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import psutil

from backends import resources
from backends.patience import ANSWER_S, UnansweredError, within
from state.errors import StorageError
from state.needs import Room
from state.run.environment import FileSystem
from state.units import MIB

_Answer = TypeVar("_Answer")

#: What is left alone of the memory that is available: the system's own needs must not be pushed out.
RESERVE_BYTES: Final = 256 * MIB


def user_path(text: str) -> Path:
    """The path that somebody typed, with ``~`` for a home.

    Raises:
        StorageError: If there is no such user.
    """
    if not text.strip() or "\0" in text:
        raise StorageError("the storage has no name", "give a folder with --storage")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise StorageError(f"{text!r} names a user who is not here", "write the whole path") from None


def check_storage(folder: Path) -> Path:
    """The folder's absolute path, if checkpoints can be written there.

    Raises:
        StorageError: If it is missing, no folder, not writable, or does not answer.
    """
    return in_time(folder, lambda: _check(folder))


def in_time(folder: Path, ask: Callable[[], _Answer]) -> _Answer:
    """What is asked of a folder, by a child.

    Args:
        folder: To be named if it does not answer.
        ask: The question.

    Raises:
        StorageError: If it does not answer.
    """
    try:
        return within(ANSWER_S, ask)
    except UnansweredError:
        raise StorageError(
            f"the storage folder {folder} does not answer",
            "check the mount, or the network behind it, or choose another --storage",
        ) from None


def _check(folder: Path) -> Path:
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise StorageError(
                f"the storage folder {folder} does not exist", "create it or choose another --storage"
            ) from None
        raise StorageError(
            f"the storage folder {folder} cannot be reached ({error.strerror})", "choose another --storage"
        ) from None
    if not is_folder:
        raise StorageError(f"the storage {folder} is not a folder", "choose a folder with --storage")
    try:
        # Asking is not enough: root may write everywhere except on a read-only file system.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageError(f"the storage folder {folder} is full", "free some space or choose another") from None
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StorageError(
            f"the storage folder {folder} cannot be written ({reason})", "choose another --storage"
        ) from None
    return folder.resolve()


def room(folder: Path) -> Room:
    """What is free at this moment for a process without special rights.

    Raises:
        StorageError: If it does not answer.
    """
    statvfs = in_time(folder, lambda: os.statvfs(folder))
    # btrfs and some network file systems have no fixed number of inodes and report 0 of 0.
    files = statvfs.f_favail if statvfs.f_files else None
    return Room(statvfs.f_bavail * statvfs.f_frsize, files, available_memory_bytes())


def available_memory_bytes() -> int:
    """Memory that this process may still take: what the machine has, and what its control groups leave it."""
    available_bytes = psutil.virtual_memory().available
    left_bytes = resources.limits().left_bytes
    return available_bytes if left_bytes is None else min(available_bytes, left_bytes)


def filesystem_of(folder: Path) -> FileSystem:
    """The file system that holds `folder`, from the longest mount point above it."""
    resolved = folder.resolve()
    best = FileSystem()
    for part in psutil.disk_partitions(all=True):
        mount_point = Path(part.mountpoint)
        if resolved.is_relative_to(mount_point) and len(part.mountpoint) >= len(best.mount_point):
            best = FileSystem(part.fstype, part.mountpoint, part.device, tuple(part.opts.split(",")))
    return best


def files_below(folder: Path) -> Iterator[Path]:
    """Every regular file below `folder`, but for those that go away while somebody looks."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path


def tree_size(folder: Path) -> tuple[int, int]:
    """Bytes (as files end, not as blocks are allotted) and number of the files below `folder`."""
    sizes = []
    for path in files_below(folder):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sum(sizes), len(sizes)


def preallocate(fd: int, size_bytes: int) -> None:
    """Give an empty file its size and, where the file system can, its place on the device.

    `os.posix_fallocate` is not used: where the file system cannot, the C library writes every block instead.

    Raises:
        OSError: If there is not so much room, or not for this user.
    """
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is not None and fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(size_bytes)) != 0:
        code = ctypes.get_errno()
        if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise OSError(code, os.strerror(code))
    os.ftruncate(fd, size_bytes)


def sync_path(path: Path | str) -> None:
    """Put one file or folder on the device."""
    fd = os.open(path, os.O_RDONLY)
    try:
        full_sync(fd)
    finally:
        os.close(fd)


def full_sync(fd: int) -> None:
    """Put what is open under a descriptor on the device.

    macOS's fsync stops at the drive's cache; F_FULLFSYNC goes through it.
    """
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        os.fsync(fd)
    else:
        fcntl.fcntl(fd, full_sync)


def sync_tree(folder: Path) -> None:
    """Put every file and folder below `folder`, itself, and its entry in its parent on the device."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_path(f"{parent}/{name}")
        sync_path(parent)
    sync_path(folder.parent)


def sync_filesystem(folder: Path) -> None:
    """Write back everything that is dirty on the file system of `folder`; other file systems are left alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        os.sync()
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(fd) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(fd)
