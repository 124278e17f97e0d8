"""Folders for checkpoints, each made by a run for itself, removed by it, and found by the `doctor` if it was killed.

A run's scratch folder lies in the storage folder. A pointer to it lies in the user's state folder, so that it is found
wherever that was. Only what is clearly ours is ever deleted (`backends.storage.ownership`); the rest is left with its
reason.

Started as ``python -P -m backends.storage.scratch STORAGE RUN_ID`` it removes what is left of a run: from outside,
since a storage that has died may never answer, and keeps whoever asks.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final, Self

import msgspec
import psutil

from backends.patience import ANSWER_S, UnansweredError, within
from backends.storage.folder import filesystem_of
from backends.storage.ownership import (
    MARKER,
    PREFIX,
    Held,
    InUseError,
    NotOursError,
    empty,
    held,
    mark,
    opened,
    place,
    user_of,
)
from state.errors import StorageError
from state.paths import state_folder
from state.process_identity import Owner

_LOOK_S: Final = 0.02
#: How long killed processes may take to let go of a folder.
_DEATH_S: Final = 5.0
#: Files that were deleted while somebody has them open, under the names that libfuse and NFS give them until then.
_STILL_OPEN: Final = (".fuse_hidden", ".nfs")
#: How long such a name may stay when the file was closed: the server is told of that later.
_CLOSED_S: Final = 2.0


class Orphan(msgspec.Struct, frozen=True):
    """A scratch folder that nobody holds, or something that is called like one.

    Attributes:
        folder: Where it is.
        owner: Who made it, as its marker says; None if it has none, or none that counts.
        doubt: Why it is left alone; empty if it is clearly ours.
    """

    folder: Path
    owner: Owner | None
    doubt: str = ""


class Scratch:
    """A scratch folder of this process, and of the children that it forks, for as long as one of them lives.

    Attributes:
        folder: Its path.
    """

    def __init__(self, folder: Path, marker_fd: int, owner: Owner) -> None:
        self.folder = folder
        self._marker_fd: int | None = marker_fd
        self._owner = owner
        self._made = os.lstat(folder)

    @classmethod
    def create(cls, storage: Path, run_id: str) -> Self:
        """Make a scratch folder in `storage`.

        Raises:
            StorageError: If it cannot be made.
        """
        owner = Owner.this_process(run_id)
        folder = None
        try:
            while True:
                folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=storage))
                marker_fd = mark(folder, owner)
                if marker_fd is not None:
                    break
        except OSError as error:
            if folder is not None:  # without its marker nobody would know it as ours
                shutil.rmtree(folder, ignore_errors=True)
            raise StorageError(
                f"no scratch folder can be made in {storage} ({error.strerror})", "choose another --storage"
            ) from None
        with contextlib.suppress(OSError):  # a read-only home must not stop a run; only the doctor sees less
            pointer = _pointer(folder)
            pointer.parent.mkdir(parents=True, exist_ok=True)
            pointer.write_bytes(os.fsencode(folder))
        return cls(folder, marker_fd, owner)

    def empty(self) -> None:
        """Delete everything in the folder, its marker last. `let_go` and `remove` follow. Does nothing if it is gone.

        Raises:
            StorageError: If it cannot be deleted, or another one lies in its place.
        """
        try:
            with opened(self.folder) as folder_fd:
                if not os.path.samestat(os.fstat(folder_fd), self._made):
                    raise StorageError(f"{self.folder} is not the folder that was made", "delete it by hand")
                _empty(Held(folder_fd, self._owner, is_marked=True))
        except FileNotFoundError:
            pass
        except NotOursError as doubt:
            raise StorageError(f"{self.folder} {doubt}", "delete it by hand") from None
        except OSError as error:
            raise _undeleted(self.folder, error) from None

    def let_go(self) -> None:
        """Leave what is left of it to others."""
        marker_fd, self._marker_fd = self._marker_fd, None
        if marker_fd is not None:
            with contextlib.suppress(OSError):  # a mount that has died says so on closing, too
                os.close(marker_fd)

    def remove(self) -> None:
        """Delete the folder itself, when nobody holds it any more: only then a deleted marker is gone everywhere.

        Raises:
            StorageError: If it cannot be deleted.
        """
        try:
            _remove_empty(self.folder, self._owner)
        except OSError as error:
            raise _undeleted(self.folder, error) from None


def remove(folder: Path, *, patience_s: float = 0.0) -> None:
    """Delete a scratch folder that somebody has left, with everything in it. Does nothing if it is gone.

    Args:
        folder: The folder.
        patience_s: How long to wait while it is in use: killed processes take a moment to be gone.

    Raises:
        StorageError: If it is in use, is not clearly ours, or cannot be deleted.
    """
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            with held(folder) as it:
                owner, is_marked = it.owner, it.is_marked
                if is_marked:
                    _empty(it)
            _remove_empty(folder, owner)
        except FileNotFoundError:
            _forget(folder)
        except InUseError:
            if time.monotonic() < deadline_s:
                time.sleep(_LOOK_S)
                continue
            raise StorageError(f"{folder} is in use", "wait until the run that has it is over") from None
        except NotOursError as doubt:
            raise StorageError(f"{folder} {doubt}", "delete it by hand if it is yours") from None
        except OSError as error:
            raise _undeleted(folder, error) from None
        return


def of_run(storage: Path, run_id: str) -> tuple[Path, ...]:
    """Scratch folders in `storage` whose marker names a run, in use or not."""
    found = []
    for folder in sorted(storage.glob(f"{PREFIX}*")):
        with contextlib.suppress(OSError, NotOursError):
            owner, _ = user_of(folder)
            if owner is not None and owner.run_id == run_id:
                found.append(folder)
    return tuple(found)


def neighbours(own: Path) -> tuple[str, ...]:
    """Other runs of this user that have scratch folders in use on the file system of ours.

    Args:
        own: Our scratch folder.
    """
    found = set()
    with contextlib.suppress(OSError):
        device = own.stat().st_dev
        for folder in _candidates(own.parent, everywhere=False) - {own}:
            with contextlib.suppress(OSError, NotOursError):
                owner, in_use = user_of(folder)
                if in_use and folder.stat().st_dev == device:
                    found.add(owner.run_id if owner is not None else "another run")
    return tuple(sorted(found))


def orphans(*storages: Path, everywhere: bool = True) -> tuple[Orphan, ...]:
    """Scratch folders that nobody holds: those in `storages`, and those that the user's pointers name.

    Args:
        storages: Folders.
        everywhere: Follow the pointers to other mounts, too.
    """
    mounts, silent, found = _mounts(), set(), []
    for folder in sorted(_candidates(*storages, everywhere=everywhere)):
        mount = _mount(folder, mounts)
        orphan: Orphan | None = Orphan(folder, None, "cannot be looked at (its storage does not answer)")
        if mount not in silent:
            try:
                orphan = within(ANSWER_S, partial(_look, folder))
            except UnansweredError:
                silent.add(mount)
        if orphan is not None:
            found.append(orphan)
    return tuple(found)


def _candidates(*storages: Path, everywhere: bool) -> set[Path]:
    """What is called like a scratch folder: in these folders, and where the user's pointers lead."""
    candidates: set[Path] = set()
    for storage in storages:
        with contextlib.suppress(OSError, UnansweredError):  # one that cannot be read hides nothing of the others
            candidates |= within(ANSWER_S, partial(_named, storage))
    mounts = [] if everywhere else _mounts()
    ours = {_mount(storage, mounts) for storage in storages}
    pointers = list(_pointers_folder().glob("*")) if _pointers_folder().is_dir() else []
    for pointer in pointers:
        with contextlib.suppress(OSError, ValueError):  # one that cannot be read must not hide the others
            folder = Path(os.fsdecode(pointer.read_bytes()))
            if folder.name.startswith(PREFIX) and (everywhere or _mount(folder, mounts) in ours):
                candidates.add(folder)
    return candidates


def _named(storage: Path) -> set[Path]:
    return set(storage.glob(f"{PREFIX}*"))


def _mounts() -> list[str]:
    return sorted((part.mountpoint for part in psutil.disk_partitions(all=True)), key=len)


def _mount(folder: Path, mounts: list[str]) -> str:
    """The last mount above a folder as their names say it: nothing is asked that may not answer."""
    return next((mount for mount in reversed(mounts) if folder.is_relative_to(mount)), "")


def _look(folder: Path) -> Orphan | None:
    """What is to be said of a folder; nothing if it is in use, or gone by now."""
    try:
        with held(folder, to_look=True) as it:
            return Orphan(folder, it.owner, _doubt(folder, it.owner))
    except InUseError:
        return None
    except FileNotFoundError:
        _forget(folder)
        return None
    except NotOursError as doubt:
        return Orphan(folder, None, str(doubt))
    except OSError as error:
        return Orphan(folder, None, f"cannot be looked at ({error.strerror})")


def _doubt(folder: Path, owner: Owner | None) -> str:
    """Why the lock of a folder that nobody seems to hold may say nothing: other machines may hold it, unseen here."""
    if owner is None or not (owner.foreign or not owner.this_boot):
        return ""
    filesystem = filesystem_of(folder)
    if not filesystem.is_network and not filesystem.type.startswith("fuse"):
        return ""
    if owner.foreign:
        return f"was made on {owner.hostname} by run {owner.run_id}"
    return f"was made before this machine was started, or on another one of its name, by run {owner.run_id}"


def _empty(it: Held) -> None:
    """Delete everything in a folder, and its marker.

    The marker goes last: a removal that is cut short leaves a folder that is still known as ours.
    """
    empty(it.fd, place(it.fd), keep=MARKER)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(MARKER, dir_fd=it.fd)


def _remove_empty(folder: Path, owner: Owner | None) -> None:
    """Delete a folder that was emptied, and whose marker nobody has open any more.

    Raises:
        InUseError: If somebody has begun to use it, who was not known.
        OSError: If it cannot be deleted.
    """
    deadline_s = time.monotonic() + _CLOSED_S
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno == errno.ENOTEMPTY and time.monotonic() < deadline_s and _is_being_closed(folder):
                time.sleep(_LOOK_S)
                continue
            if owner is None and error.errno == errno.ENOTEMPTY:  # its maker was about to go on
                raise InUseError from None
            if owner is not None:  # somebody has put something in meanwhile
                _mark_again(folder, owner)
            raise
        _forget(folder)
        return


def _is_being_closed(folder: Path) -> bool:
    """Whether all that a folder holds are deleted files that somebody has open."""
    with contextlib.suppress(FileNotFoundError):
        return all(path.name.startswith(_STILL_OPEN) for path in folder.iterdir())
    return True


def _mark_again(folder: Path, owner: Owner) -> None:
    """Let the doctor find what could not be deleted."""
    with contextlib.suppress(OSError, NotOursError), opened(folder) as folder_fd:
        if os.fstat(folder_fd).st_uid == os.geteuid():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            marker_fd = os.open(MARKER, flags, 0o600, dir_fd=folder_fd)
            with os.fdopen(marker_fd, "wb") as marker:
                marker.write(msgspec.json.encode(owner))


def _undeleted(folder: Path, error: OSError) -> StorageError:
    return StorageError(f"{folder} cannot be deleted ({error.strerror})", "delete it by hand")


def _pointers_folder() -> Path:
    return state_folder() / "scratch"


def _pointer(folder: Path) -> Path:
    return _pointers_folder() / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]


def _forget(folder: Path) -> None:
    with contextlib.suppress(OSError):  # there is none where the home cannot be written
        _pointer(folder).unlink()


def main() -> None:
    """Remove what a run has left behind.

    Raises:
        StorageError: If something of it stays.
    """
    for folder in of_run(Path(sys.argv[1]), sys.argv[2]):
        remove(folder, patience_s=_DEATH_S)


if __name__ == "__main__":
    main()
