"""Folders that we own. Each carries a marker, so that nothing else is ever deleted and orphans can be found.

A run's scratch folder lies in the storage folder. A pointer to it lies in the user's state folder, so that the
`doctor` finds what a killed run left behind, wherever that was.
"""

import contextlib
import hashlib
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Final, Self

import msgspec
import psutil

from state.errors import StorageError
from state.paths import state_folder

PREFIX: Final = "ckpt-tui-scratch-"
MARKER: Final = ".ckpt-tui-scratch.json"


class Owner(msgspec.Struct, frozen=True):
    """Who made a scratch folder.

    Attributes:
        pid: The worker's process.
        started: When that process began, as `_started` has it; process numbers are used again, this pair is not.
        run_id: The run that it belongs to.
        hostname: The machine, or the container, that it runs on: a storage folder may be shared.
        boot_id: Which start of that machine's kernel; empty where the system does not tell.
    """

    pid: int
    started: float
    run_id: str
    hostname: str
    boot_id: str

    @classmethod
    def this_process(cls, run_id: str) -> Self:
        """This process as an owner."""
        return cls(os.getpid(), _started(os.getpid()), run_id, platform.node(), _boot_id())

    @property
    def foreign(self) -> bool:
        """Whether it is another machine's, where nobody here can see whether it still runs."""
        return self.hostname != platform.node()

    @property
    def alive(self) -> bool:
        """Whether the process that made it still runs on this machine."""
        try:
            same = self.boot_id == _boot_id() and _started(self.pid) == self.started
            return same and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def _started(pid: int) -> float:
    """When a process began: in ticks since the kernel started where /proc tells, as clocks that are set move dates."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return float(fields[19])  # the 22nd of all, see proc(5)
    except OSError:
        return psutil.Process(pid).create_time()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Orphan(msgspec.Struct, frozen=True):
    """A scratch folder whose maker is gone, or is on another machine (`Owner.foreign`)."""

    folder: Path
    owner: Owner


def create(storage: Path, run_id: str) -> Path:
    """Make a scratch folder in `storage`, owned by this process.

    Raises:
        StorageError: If it cannot be made.
    """
    owner = Owner.this_process(run_id)
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=storage))
        (folder / MARKER).write_bytes(msgspec.json.encode(owner))
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
    return folder


def owner_of(folder: Path) -> Owner | None:
    """Who made `folder`, or None if it is no scratch folder of ours."""
    try:
        return msgspec.json.decode((folder / MARKER).read_bytes(), type=Owner)
    except (OSError, msgspec.DecodeError):
        return None


def remove(folder: Path) -> None:
    """Delete a scratch folder with everything in it. Does nothing if it is gone.

    Raises:
        StorageError: If it does not carry our marker, or cannot be deleted.
    """
    if folder.exists():
        if owner_of(folder) is None:
            raise StorageError(f"{folder} carries no marker of ckpt-tui", "delete it by hand if it is yours")
        try:
            # The marker goes last: a removal that is cut short leaves a folder that is still known as ours.
            for entry in folder.iterdir():
                if entry.name == MARKER:
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
            marker = (folder / MARKER).read_bytes()
            (folder / MARKER).unlink()
            try:
                folder.rmdir()
            except OSError:  # somebody has put something in meanwhile
                (folder / MARKER).write_bytes(marker)
                raise
        except OSError as error:
            raise StorageError(f"{folder} cannot be deleted ({error.strerror})", "delete it by hand") from None
    with contextlib.suppress(OSError):  # there is none where the home cannot be written
        _pointer(folder).unlink()


def orphans(*storages: Path) -> tuple[Orphan, ...]:
    """Scratch folders without a maker that lives here: those that the pointers name, and those in `storages`."""
    candidates = {folder for storage in storages for folder in storage.glob(f"{PREFIX}*")}
    pointers = list(_pointers_folder().glob("*")) if _pointers_folder().is_dir() else []
    for pointer in pointers:
        with contextlib.suppress(OSError, ValueError):  # one that cannot be read must not hide the others
            folder = Path(os.fsdecode(pointer.read_bytes()))
            if folder.exists():
                candidates.add(folder)
            else:
                pointer.unlink(missing_ok=True)
    found = []
    for folder in sorted(candidates):
        owner = owner_of(folder)
        if owner is not None and (owner.foreign or not owner.alive):
            found.append(Orphan(folder, owner))
    return tuple(found)


def _pointers_folder() -> Path:
    return state_folder() / "scratch"


def _pointer(folder: Path) -> Path:
    return _pointers_folder() / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
