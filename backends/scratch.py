"""Folders that we own. Each carries a marker, so that nothing else is ever deleted and orphans can be found.

A run's scratch folder lies in the storage folder. A pointer to it lies in the user's state folder, so that the
`doctor` finds what a killed run left behind, wherever that was.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from state.errors import StorageError
from state.owner import Owner
from state.paths import state_folder

PREFIX: Final = "ckpt-tui-scratch-"
MARKER: Final = ".ckpt-tui-scratch.json"


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
