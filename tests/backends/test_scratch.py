"""Folders that we own, and nothing else."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from backends import scratch
from backends.scratch import MARKER, PREFIX, create, orphans, owner_of, remove
from state.errors import StorageError
from state.owner import Owner
from tests.backends.runs import MAKE_SCRATCH, made_by_a_dead_process


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))


def pointers() -> list[Path]:
    return list(scratch._pointers_folder().glob("*"))


def test_a_new_folder_is_empty_but_for_its_marker_and_known_as_ours(storage: Path) -> None:
    folder = create(storage, "run-1")
    assert folder.parent == storage
    assert [path.name for path in folder.iterdir()] == [MARKER]
    owner = owner_of(folder)
    assert owner == Owner.this_process("run-1")
    assert [pointer.read_text() for pointer in pointers()] == [str(folder)]
    assert owner.alive
    assert not owner.foreign
    assert orphans(storage) == ()


@pytest.mark.parametrize("change", [{"pid": 2**30}, {"started": 1.0}, {"boot_id": "an earlier one"}])
def test_another_process_with_the_same_number_is_not_the_owner(change: dict[str, object], storage: Path) -> None:
    folder = create(storage, "run")
    owner = msgspec.structs.replace(Owner.this_process("run"), **change)
    (folder / MARKER).write_bytes(msgspec.json.encode(owner))
    assert not owner.alive
    assert [orphan.folder for orphan in orphans(storage)] == [folder]


def test_what_another_machine_made_on_a_shared_disk_is_told_apart(storage: Path) -> None:
    folder = create(storage, "run")
    owner = msgspec.structs.replace(Owner.this_process("run"), hostname="elsewhere", pid=2**30)
    (folder / MARKER).write_bytes(msgspec.json.encode(owner))
    (orphan,) = orphans(storage)
    assert orphan.owner.foreign


def test_a_pointer_that_cannot_be_read_hides_no_other(storage: Path) -> None:
    folder = made_by_a_dead_process(storage)
    (scratch._pointers_folder() / "0").mkdir()
    (scratch._pointers_folder() / "1").write_bytes(b"\0")
    assert [orphan.folder for orphan in orphans()] == [folder]


def test_removing_takes_the_folder_and_its_pointer_and_follows_no_link(storage: Path, tmp_path: Path) -> None:
    others = [
        storage / "file",
        storage / f"{PREFIX}file",
        storage / f"{PREFIX}folder" / "file",
        tmp_path / "o" / "file",
    ]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_text("mine")
    sibling, folder = create(storage, "sibling"), create(storage, "run")
    (folder / "checkpoint" / "deep").mkdir(parents=True)
    for parent in (folder, folder / "checkpoint" / "deep"):
        (parent / "file").write_text("ours")
        for name, target in (("to folder", tmp_path / "o"), ("to file", others[0]), ("dangling", Path("nowhere"))):
            (parent / name).symlink_to(target)
    remove(folder)
    assert not folder.exists()
    assert [pointer.read_text() for pointer in pointers()] == [str(sibling)]
    assert [other.read_text() for other in others] == ["mine"] * 4
    shutil.rmtree(sibling)
    remove(sibling)
    assert pointers() == []


@pytest.mark.parametrize("marker", [None, "", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_a_folder_without_a_sound_marker_is_never_removed(marker: str | None, storage: Path) -> None:
    folder = storage / f"{PREFIX}abcdefgh"
    folder.mkdir()
    (folder / "file").write_text("mine")
    if marker is not None:
        (folder / MARKER).write_text(marker)
    with pytest.raises(StorageError, match="carries no marker"):
        remove(folder)
    assert (folder / "file").read_text() == "mine"
    assert orphans(storage) == ()


def fail(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("told", [True, False], ids=["storage told", "by its pointer"])
def test_a_folder_of_a_dead_process_is_an_orphan_and_one_of_a_living_is_not(told: bool, storage: Path) -> None:
    living = create(storage, "living")
    assert orphans(storage) == ()
    folder = made_by_a_dead_process(storage)
    if told:
        for pointer in pointers():
            pointer.unlink()
    else:
        shutil.rmtree(made_by_a_dead_process(storage))  # a pointer to nothing is no orphan and is forgotten
    (found,) = orphans(storage) if told else orphans()
    assert (found.folder, found.owner.run_id) == (folder, "r")
    remove(found.folder)
    assert list(storage.iterdir()) == [living]
    assert orphans(storage) == ()
    assert len(pointers()) == (0 if told else 1)


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b"\xff\xfe", b"/proc/self/mem"], ids=ascii)
def test_a_damaged_pointer_hides_no_orphan(content: bytes, storage: Path) -> None:
    folder = made_by_a_dead_process(storage)
    (scratch._pointers_folder() / "0000").write_bytes(content)
    assert [orphan.folder for orphan in orphans()] == [folder]


def test_a_dead_process_that_nobody_has_buried_yet_is_dead(storage: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", MAKE_SCRATCH, str(storage)], stdout=subprocess.PIPE) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
        assert len(orphans(storage)) == 1


def test_a_storage_that_cannot_take_the_folder_is_refused_and_nothing_is_left(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="No such file"):
        create(storage / "missing", "run")
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(StorageError, match="No space left"):
        create(storage, "run")
    assert list(storage.iterdir()) == []


@pytest.mark.parametrize("home", ["/dev/null", "/proc"])
def test_a_home_that_cannot_be_written_does_not_stop_a_run(
    home: str, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", f"{home}/state")
    folder = create(storage, "run")
    assert owner_of(folder) is not None
    assert orphans(storage) == ()
    remove(folder)
    assert not folder.exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no names that are not UTF-8")
def test_a_storage_whose_name_is_not_utf_8_works_or_is_refused_without_a_trace(storage: Path) -> None:
    (odd := storage / os.fsdecode(b"caf\xe9")).mkdir()
    with contextlib.suppress(StorageError):
        remove(create(odd, "run"))
    assert list(odd.iterdir()) == []
