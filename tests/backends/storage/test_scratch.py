"""Folders that we own, and nothing else."""

import contextlib
import errno
import fcntl
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import psutil
import pytest

from backends.storage import scratch
from backends.storage.ownership import MARKER, PREFIX
from backends.storage.scratch import Orphan, Scratch, neighbours, of_run, orphans, remove
from state.errors import StorageError
from state.process_identity import Owner
from state.run.environment import FileSystem
from tests.backends.runs import MAKE_SCRATCH, made_by_a_dead_process


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))


def pointers() -> list[Path]:
    return list(scratch._pointers_folder().glob("*"))


def create(storage: Path, run_id: str) -> Path:
    """A folder that this process holds for as long as the test lasts."""
    return Scratch.create(storage, run_id).folder


def clear_away(held: Scratch) -> None:
    """What the worker does at the end of a run."""
    held.empty()
    held.let_go()
    held.remove()


def clearly_ours(storage: Path) -> list[Path]:
    return [orphan.folder for orphan in orphans(storage) if not orphan.doubt]


def doubt(storage: Path) -> str:
    (orphan,) = orphans(storage)
    return orphan.doubt


def left_by(owner: Owner, storage: Path) -> Path:
    """A folder of a dead process whose marker says something else."""
    folder = made_by_a_dead_process(storage)
    (folder / MARKER).write_bytes(msgspec.json.encode(owner))
    return folder


def test_a_new_folder_is_empty_but_for_its_marker_and_known_as_ours(storage: Path) -> None:
    folder = create(storage, "run-1")
    assert folder.parent == storage
    assert [path.name for path in folder.iterdir()] == [MARKER]
    assert msgspec.json.decode((folder / MARKER).read_bytes(), type=Owner) == Owner.this_process("run-1")
    assert [pointer.read_text() for pointer in pointers()] == [str(folder)]
    assert of_run(storage, "run-1") == (folder,)
    assert of_run(storage, "run") == ()


def test_what_is_in_use_is_no_orphan_and_is_not_removed_whatever_its_marker_says(storage: Path) -> None:
    held = Scratch.create(storage, "run")
    elsewhere = msgspec.structs.replace(Owner.this_process("run"), pid=2**30, boot_id="an earlier one")
    (held.folder / MARKER).write_bytes(msgspec.json.encode(elsewhere))
    assert orphans(storage) == ()
    with pytest.raises(StorageError, match="is in use"):
        remove(held.folder, patience_s=0.1)
    clear_away(held)
    assert list(storage.iterdir()) == []
    assert pointers() == []


def test_a_folder_is_in_use_as_long_as_a_child_of_its_maker_lives(storage: Path) -> None:
    held = Scratch.create(storage, "run")
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_fd)
        os.read(read_fd, 1)
        os._exit(0)
    held.let_go()
    assert orphans(storage) == ()
    os.close(write_fd)
    remove(held.folder, patience_s=20)
    os.waitpid(child, 0)
    assert not held.folder.exists()


def test_what_cannot_be_reached_is_named_and_its_pointer_kept(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made_by_a_dead_process(storage)
    lstat = os.lstat

    def fail(path: Path) -> os.stat_result:
        if Path(path) == folder:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return lstat(path)

    monkeypatch.setattr(os, "lstat", fail)
    (orphan,) = orphans()
    assert orphan.folder == folder
    assert orphan.doubt == "cannot be looked at (Transport endpoint is not connected)"
    monkeypatch.setattr(os, "lstat", lstat)
    assert [orphan.folder for orphan in orphans()] == [folder]


def test_runs_on_one_file_system_see_each_other_while_they_last(storage: Path) -> None:
    first = Scratch.create(storage, "first")
    made_by_a_dead_process(storage)
    (elsewhere := storage / "below").mkdir()
    assert neighbours(first.folder) == ()
    second = Scratch.create(elsewhere, "second")  # known by its pointer
    assert neighbours(first.folder) == ("second",)
    assert neighbours(second.folder) == ("first",)
    clear_away(second)
    assert neighbours(first.folder) == ()


@pytest.mark.parametrize("in_use", [True, False], ids=["in use", "left"])
def test_another_container_sees_what_is_in_use(in_use: bool, storage: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from backends.storage.scratch import orphans;"
        "print(*[o.folder for o in orphans(Path(sys.argv[1])) if not o.doubt])"
    )
    folder = create(storage, "run") if in_use else made_by_a_dead_process(storage)
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]
    if os.geteuid() or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no PID namespace can be made here")
    seen = subprocess.run(
        [*alone, sys.executable, "-c", code, str(storage)], capture_output=True, text=True, check=True
    )
    assert seen.stdout.split() == ([] if in_use else [str(folder)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hostname": "elsewhere"}, "was made on elsewhere by run run"),
        ({"boot_id": "an earlier one"}, "was made before this machine was started, or on another one of its name"),
    ],
)
def test_on_a_shared_disk_what_another_machine_made_is_left_alone(
    change: dict[str, object], words: str, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = left_by(msgspec.structs.replace(Owner.this_process("run"), **change), storage)
    monkeypatch.setattr(scratch, "filesystem_of", lambda _: FileSystem("nfs4"))
    (orphan,) = orphans(storage)
    assert orphan.folder == folder
    assert orphan.doubt.startswith(words)


def test_on_a_disk_of_its_own_a_machine_that_was_started_again_knows_what_it_left(storage: Path) -> None:
    folder = left_by(msgspec.structs.replace(Owner.this_process("run"), boot_id="an earlier one"), storage)
    assert clearly_ours(storage) == [folder]


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
    sibling, held = create(storage, "sibling"), Scratch.create(storage, "run")
    folder = held.folder
    (folder / "checkpoint" / "deep").mkdir(parents=True)
    for parent in (folder, folder / "checkpoint" / "deep"):
        (parent / "file").write_text("ours")
        for name, target in (("to folder", tmp_path / "o"), ("to file", others[0]), ("dangling", Path("nowhere"))):
            (parent / name).symlink_to(target)
    clear_away(held)
    assert not folder.exists()
    assert [pointer.read_text() for pointer in pointers()] == [str(sibling)]
    assert [other.read_text() for other in others] == ["mine"] * 4
    shutil.rmtree(sibling)
    remove(sibling)
    assert pointers() == []


@pytest.mark.parametrize("marker", [None, "", "{", "[]", '{"pid": "x"}', '{"pid": 1}', '{"pid": "\xff"}', "[" * 4000])
def test_a_folder_without_a_sound_marker_is_named_and_never_removed(marker: str | None, storage: Path) -> None:
    folder = storage / f"{PREFIX}abcdefgh"
    folder.mkdir()
    (folder / "file").write_text("mine")
    if marker is not None:
        (folder / MARKER).write_bytes(marker.encode("latin-1"))
    with pytest.raises(StorageError, match="carries no marker"):
        remove(folder)
    assert (folder / "file").read_text() == "mine"
    assert doubt(storage).startswith("carries no marker")


@pytest.mark.parametrize("marked", [True, False])
def test_what_was_killed_before_it_had_begun_is_an_orphan(marked: bool, storage: Path) -> None:
    folder = storage / f"{PREFIX}abcdefgh"
    folder.mkdir()
    if marked:
        (folder / MARKER).touch()
    assert orphans(storage) == (Orphan(folder, None),)
    remove(folder)
    assert list(storage.iterdir()) == []


def test_an_empty_folder_with_a_name_of_somebody_elses_is_left_alone(storage: Path) -> None:
    (storage / f"{PREFIX}of-somebody").mkdir()
    assert doubt(storage).startswith("carries no marker")


def test_a_folder_is_made_even_if_somebody_clears_away_what_is_not_finished(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    cleared: list[Path] = []

    def clear_and_lock(fd: int, kind: int) -> None:
        if kind == fcntl.LOCK_EX and len(cleared) < 2:  # the maker's, before it has it
            (folder,) = storage.iterdir()
            cleared.append(folder)
            remove(folder)
        real(fd, kind)

    monkeypatch.setattr(fcntl, "flock", clear_and_lock)
    held = Scratch.create(storage, "run")
    assert list(storage.iterdir()) == [held.folder]
    assert held.folder not in cleared
    assert len(cleared) == 2


def test_a_maker_waits_for_somebody_who_is_only_looking(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.flock

    def look_and_lock(fd: int, kind: int) -> None:
        if kind == fcntl.LOCK_EX:
            (folder,) = storage.iterdir()
            assert [orphan.folder for orphan in orphans(storage)] == [folder]
        real(fd, kind)

    monkeypatch.setattr(fcntl, "flock", look_and_lock)
    held = Scratch.create(storage, "run")
    assert list(storage.iterdir()) == [held.folder]
    assert orphans(storage) == ()


def test_who_clears_away_what_is_unfinished_never_takes_what_its_maker_has_finished_meanwhile(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = storage / f"{PREFIX}abcdefgh"
    folder.mkdir()
    rmdir = Path.rmdir

    def finish_first(path: Path) -> None:
        if path == folder and not (folder / MARKER).exists():
            (folder / MARKER).write_text("the maker's")
        rmdir(path)

    monkeypatch.setattr(Path, "rmdir", finish_first)
    with pytest.raises(StorageError, match="is in use"):
        remove(folder)
    assert (folder / MARKER).read_text() == "the maker's"


def forge(folder: Path) -> None:
    """What somebody writes who wants a folder to be taken for a leftover."""
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text("mine")
    (folder / MARKER).write_bytes(msgspec.json.encode(Owner(2**30, 1.0, "x", platform.node(), "0")))


def link_to_a_folder(storage: Path) -> None:
    forge(storage.parent / "precious")
    (storage / f"{PREFIX}abcdefgh").symlink_to("../precious")


def link_as_a_marker(storage: Path) -> None:
    forge(storage / f"{PREFIX}abcdefgh")
    marker = storage / f"{PREFIX}abcdefgh" / MARKER
    marker.rename(storage.parent / "marker")
    marker.symlink_to(storage.parent / "marker")


def pipe_as_a_marker(storage: Path) -> None:
    forge(storage / f"{PREFIX}abcdefgh")
    (storage / f"{PREFIX}abcdefgh" / MARKER).unlink()
    os.mkfifo(storage / f"{PREFIX}abcdefgh" / MARKER)


def socket_as_a_marker(storage: Path) -> None:
    forge(storage / f"{PREFIX}abcdefgh")
    (storage / f"{PREFIX}abcdefgh" / MARKER).unlink()
    os.mknod(storage / f"{PREFIX}abcdefgh" / MARKER, stat.S_IFSOCK | 0o600)


def folder_as_a_marker(storage: Path) -> None:
    forge(storage / f"{PREFIX}abcdefgh")
    (storage / f"{PREFIX}abcdefgh" / MARKER).unlink()
    (storage / f"{PREFIX}abcdefgh" / MARKER).mkdir()


def file_as_a_folder(storage: Path) -> None:
    (storage / f"{PREFIX}abcdefgh").write_text("mine")


def folder_of_another_user(storage: Path) -> None:
    forge(storage / f"{PREFIX}abcdefgh")
    os.chown(storage / f"{PREFIX}abcdefgh", 65534, 65534)


def marker_of_another_user(storage: Path) -> None:
    forge(storage / f"{PREFIX}abcdefgh")
    os.chown(storage / f"{PREFIX}abcdefgh" / MARKER, 65534, 65534)


MOUNTS: Final = ("tmpfs", "bind")


def mount(kind: str, folder: Path, precious: Path) -> None:
    """Put a file system, or a second sight of a folder on the same one, onto a folder."""
    folder.mkdir(exist_ok=True)
    precious.mkdir(exist_ok=True)
    what = ["-t", "tmpfs", "-o", "size=1m", "none"] if kind == "tmpfs" else ["--bind", str(precious)]
    if os.geteuid() or subprocess.run(["mount", *what, str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")


def folder_that_is_mounted(storage: Path) -> None:
    mount("tmpfs", storage / f"{PREFIX}abcdefgh", storage.parent / "precious")
    forge(storage / f"{PREFIX}abcdefgh")


def folder_that_is_bound(storage: Path) -> None:
    forge(storage.parent / "precious")
    mount("bind", storage / f"{PREFIX}abcdefgh", storage.parent / "precious")


NEEDS_ROOT: Final = (folder_of_another_user, marker_of_another_user)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (link_to_a_folder, "is no folder but a link"),
        (link_as_a_marker, "carries a marker that is no file"),
        (pipe_as_a_marker, "carries a marker that is no file"),
        (socket_as_a_marker, "carries a marker that is no file"),
        (folder_as_a_marker, "carries a marker that is no file"),
        (file_as_a_folder, "is no folder but a link or a file"),
        (folder_of_another_user, "belongs to user 65534"),
        (marker_of_another_user, "carries a marker that is no file of this user's"),
        (folder_that_is_mounted, "is mounted there"),
        (folder_that_is_bound, "is mounted there"),
    ],
)
def test_what_is_not_clearly_ours_is_named_and_left(make: Callable[[Path], None], words: str, storage: Path) -> None:
    if make in NEEDS_ROOT and os.geteuid():
        pytest.skip("only root can make this")
    make(storage)
    (found,) = storage.iterdir()
    try:
        before = sorted(storage.parent.rglob("*"))
        assert doubt(storage).startswith(words)
        with pytest.raises(StorageError, match="delete it by hand if it is yours"):
            remove(found)
        assert sorted(storage.parent.rglob("*")) == before
    finally:
        if make in (folder_that_is_mounted, folder_that_is_bound):  # what is bound is no mount to `Path.is_mount`
            subprocess.run(["umount", found], check=True)


@pytest.mark.parametrize("kind", MOUNTS)
def test_removing_stops_at_what_is_mounted_inside(kind: str, storage: Path) -> None:
    folder = made_by_a_dead_process(storage)
    mount(kind, folder / "mounted", storage.parent / "precious")
    try:
        (folder / "mounted" / "file").write_text("mine")
        with pytest.raises(StorageError, match="something is mounted on mounted"):
            remove(folder)
        assert (folder / "mounted" / "file").read_text() == "mine"
    finally:
        subprocess.run(["umount", folder / "mounted"], check=True)
    assert clearly_ours(storage) == [folder]
    remove(folder)


def test_where_files_cannot_be_locked_the_maker_removes_its_folder_and_nobody_else_does(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    held = Scratch.create(storage, "run")
    assert doubt(storage).startswith("lies on a file system without locks")
    with pytest.raises(StorageError, match="without locks"):
        remove(held.folder)
    clear_away(held)
    assert list(storage.iterdir()) == []


def test_the_maker_removes_its_folder_without_its_marker_and_no_other_in_its_place(storage: Path) -> None:
    held, replaced = Scratch.create(storage, "run"), Scratch.create(storage, "other")
    (held.folder / MARKER).unlink()
    (held.folder / "checkpoint").mkdir()
    clear_away(held)
    replaced.folder.rename(storage / "moved")
    replaced.folder.mkdir()
    with pytest.raises(StorageError, match="is not the folder that was made"):
        replaced.empty()
    assert sorted(path.name for path in storage.iterdir()) == sorted([replaced.folder.name, "moved"])


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
    assert found.owner is not None
    assert (found.folder, found.owner.run_id, found.doubt) == (folder, "r", "")
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
    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(StorageError, match="No space left"):
        create(storage, "run")
    assert list(storage.iterdir()) == []


@pytest.mark.parametrize("home", ["/dev/null", "/proc"])
def test_a_home_that_cannot_be_written_does_not_stop_a_run(
    home: str, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", f"{home}/state")
    held = Scratch.create(storage, "run")
    clear_away(held)
    assert not held.folder.exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no names that are not UTF-8")
def test_a_storage_whose_name_is_not_utf_8_works_or_is_refused_without_a_trace(storage: Path) -> None:
    (odd := storage / os.fsdecode(b"caf\xe9")).mkdir()
    with contextlib.suppress(StorageError):
        clear_away(Scratch.create(odd, "run"))
    assert list(odd.iterdir()) == []
