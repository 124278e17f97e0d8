"""Whose a scratch folder is: a marker in it, locked by its maker, both of one user, and no link on the way.

The lock (flock(2)) says that a folder is in use: the kernel gives it up when the last process that has it ends, however
it ends, and it means the same in every container on a machine, which process numbers do not. Whoever deletes a folder
holds its lock, too. Who only looks takes it shared, so that lookers do not see each other.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from state.process_identity import Owner

PREFIX: Final = "ckpt-tui-scratch-"
MARKER: Final = ".ckpt-tui-scratch.json"
#: What `tempfile.mkdtemp` makes of the prefix.
_NAME: Final = re.compile(re.escape(PREFIX) + "[a-z0-9_]{8}")
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
#: Nothing else behind a marker's name shall be followed, waited for, or become our terminal. NFS locks what is open for
#: writing.
_MARKER: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
#: What flock(2) says where a file system has no such locks.
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_MOST_MARKER_BYTES: Final = 4096


class InUseError(Exception):
    """Somebody holds the folder."""


class NotOursError(Exception):
    """The folder is left alone; the text says why, to be read after its name."""


class Held(NamedTuple):
    """A folder that is clearly this user's, with its lock.

    Attributes:
        fd: The folder.
        owner: Who made it; None if its maker did not get so far as to say it.
        is_marked: Whether there is a marker, and the lock with it.
    """

    fd: int
    owner: Owner | None
    is_marked: bool


def mark(folder: Path, owner: Owner) -> int | None:
    """Make and lock the marker of a new folder.

    Returns:
        Its descriptor, to be kept open; None if somebody has cleared the folder away meanwhile.

    Raises:
        OSError: If it cannot be made.
    """
    try:
        marker_fd = os.open(folder / MARKER, _MARKER | os.O_CREAT | os.O_EXCL, 0o600)
    except FileNotFoundError:
        return None
    try:
        with contextlib.suppress(OSError):  # without locks, everybody else leaves it alone
            fcntl.flock(marker_fd, fcntl.LOCK_EX)  # who has it now is only looking, or has taken it for unfinished
        if os.fstat(marker_fd).st_nlink:
            os.write(marker_fd, msgspec.json.encode(owner))
            return marker_fd
    except BaseException:
        os.close(marker_fd)
        raise
    os.close(marker_fd)
    return None


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[int]:
    """A descriptor of the folder itself, and not of what a link leads to.

    Raises:
        NotOursError: If it is no folder.
        OSError: If it cannot be opened.
    """
    try:
        fd = os.open(folder, _FOLDER)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise NotOursError("is no folder but a link or a file") from None
        raise
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def held(folder: Path, *, to_look: bool = False) -> Iterator[Held]:
    """A folder that is clearly this user's, while we have its lock.

    Args:
        folder: The folder.
        to_look: Share the lock with others who only look.

    Raises:
        InUseError: If somebody else has the lock.
        NotOursError: If it is not clearly ours.
        OSError: If it cannot be looked at.
    """
    if (user := os.lstat(folder).st_uid) != os.geteuid():  # before it refuses to be opened
        raise NotOursError(f"belongs to user {user}")
    with opened(folder) as folder_fd, _opened_above(folder) as above_fd:
        if os.fstat(folder_fd).st_uid != os.geteuid():
            raise NotOursError("belongs to another user by now")
        if place(folder_fd) != place(above_fd):
            raise NotOursError("is mounted there")
        marker_fd = _marker(folder_fd)
        if marker_fd is None:
            # A run that was killed here had not even begun, and what is empty can be made again.
            if _names(folder_fd) or not _NAME.fullmatch(folder.name):
                raise NotOursError("carries no marker of ckpt-tui")
            yield Held(folder_fd, None, is_marked=False)
            return
        try:
            if not _lock(marker_fd, fcntl.LOCK_SH if to_look else fcntl.LOCK_EX):
                raise NotOursError("lies on a file system without locks, where nobody can see whether it is in use")
            # Only now it stays as it is: its maker may have been about to write it, or somebody else to delete it.
            if not os.fstat(marker_fd).st_nlink:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            owner = _owner(marker_fd)
            unbegun = not os.fstat(marker_fd).st_size and _names(folder_fd) == [MARKER]
            if owner is None and not (unbegun and _NAME.fullmatch(folder.name)):
                raise NotOursError("carries no marker of ckpt-tui that can be read")
            yield Held(folder_fd, owner, is_marked=True)
        finally:
            os.close(marker_fd)


def user_of(folder: Path) -> tuple[Owner | None, bool]:
    """Who made a folder, and whether somebody holds it; without touching either.

    Raises:
        NotOursError: If it has no marker of this user's.
        OSError: If it cannot be looked at.
    """
    with opened(folder) as folder_fd:
        marker_fd = _marker(folder_fd)
        if marker_fd is None:
            raise NotOursError("carries no marker of ckpt-tui")
        try:
            owner = _owner(marker_fd)
            try:
                _lock(marker_fd, fcntl.LOCK_SH)
            except InUseError:
                return owner, True
            return owner, False
        finally:
            os.close(marker_fd)


def empty(folder_fd: int, at: tuple[int, int], keep: str = "") -> None:
    """Delete what lies in a folder, but for one name, and in one place only. Others may delete there, too.

    Args:
        folder_fd: The folder.
        at: Its place; what is mounted in it has another.
        keep: A name that stays.

    Raises:
        OSError: If something of it stays.
    """
    with os.scandir(folder_fd) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if entry.name != keep]
    for name, is_folder in listed:
        with contextlib.suppress(FileNotFoundError):
            if not is_folder:
                os.unlink(name, dir_fd=folder_fd)
                continue
            below_fd = os.open(name, _FOLDER, dir_fd=folder_fd)
            try:
                if place(below_fd) != at:
                    raise OSError(errno.EBUSY, f"something is mounted on {name} in it")
                empty(below_fd, at)
            finally:
                os.close(below_fd)
            os.rmdir(name, dir_fd=folder_fd)


def place(fd: int) -> tuple[int, int]:
    """Device and mount of what is open, to tell what is mounted there; 0 for the mount where the system is silent.

    A folder that is mounted a second time within its file system (``mount --bind``) has the same device.
    """
    mount = 0
    with contextlib.suppress(OSError):
        told = Path(f"/proc/self/fdinfo/{fd}").read_text()
        mount = next((int(line.split()[1]) for line in told.splitlines() if line.startswith("mnt_id:")), 0)
    return os.fstat(fd).st_dev, mount


@contextlib.contextmanager
def _opened_above(folder: Path) -> Iterator[int]:
    """A descriptor of the folder above."""
    fd = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def _names(folder_fd: int) -> list[str]:
    with os.scandir(folder_fd) as entries:
        return [entry.name for entry in entries]


def _marker(folder_fd: int) -> int | None:
    """A descriptor of a folder's marker; None if there is none.

    Raises:
        NotOursError: If it is no file of this user's.
    """
    try:
        fd = os.open(MARKER, _MARKER, dir_fd=folder_fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise NotOursError("carries a marker that is no file") from None
        raise
    made = os.fstat(fd)
    if stat.S_ISREG(made.st_mode) and made.st_uid == os.geteuid():
        return fd
    os.close(fd)
    raise NotOursError("carries a marker that is no file of this user's")


def _owner(marker_fd: int) -> Owner | None:
    """Who a marker names; None if it is empty or damaged."""
    try:
        return msgspec.json.decode(os.pread(marker_fd, _MOST_MARKER_BYTES, 0), type=Owner)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _lock(marker_fd: int, kind: int) -> bool:
    """Take the lock of a marker until its descriptor is closed.

    Returns:
        Whether the file system has such locks.

    Raises:
        InUseError: If somebody has it.
        OSError: If it cannot be had.
    """
    try:
        fcntl.flock(marker_fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUseError from None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True
