"""The folder under test."""

import errno
import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.storage.folder import (
    check_storage,
    files_below,
    filesystem_of,
    preallocate,
    sync_tree,
    tree_size,
    user_path,
)
from state.errors import StorageError

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a tmpfs with options, where that is permitted."""
    point = tmp_path / "mounted"

    def mount(options: str) -> Path:
        point.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting is not permitted here")
        return point

    yield mount
    if os.path.ismount(point):
        subprocess.run(["umount", str(point)], check=True)


def test_a_writable_folder_passes_as_an_absolute_path_and_stays_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    monkeypatch.chdir(tmp_path)
    assert check_storage(Path("link")) == tmp_path.resolve() / "folder"
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.parametrize("name", ["missing", "file", "file/below", "dangling", pytest.param("x" * 300, id="too long")])
def test_what_is_no_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(StorageError):
        check_storage(tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["", " ", "\t\n", "a\0b"])
def test_a_storage_without_a_name_is_refused(name: str) -> None:
    with pytest.raises(StorageError, match="has no name"):
        user_path(name)


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOTCONN, errno.EIO, errno.ENAMETOOLONG])
def test_a_storage_that_may_not_be_entered_or_fails_is_not_called_missing(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "stat", fail)
    with pytest.raises(StorageError, match="cannot be reached") as refused:
        check_storage(tmp_path)
    assert os.strerror(code) in refused.value.what


def test_files_that_go_away_while_somebody_counts_them_are_not_counted(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = os.walk

    def walk_too_far(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        for parent, folders, names in walk(folder):
            yield str(parent), folders, [*names, "gone before it was looked at"]

    monkeypatch.setattr(os, "walk", walk_too_far)
    assert tree_size(tree) == (21, 3)


def test_a_folder_that_cannot_be_written_is_refused(mount: Mount, tmp_path: Path) -> None:
    """Root may write everywhere except on a read-only mount; for anybody else a permission is enough."""
    if os.geteuid() == 0:
        folder = mount("ro")
    else:
        (folder := tmp_path / "locked").mkdir(0o555)
    with pytest.raises(StorageError, match="cannot be written"):
        check_storage(folder)


def test_a_full_file_system_is_refused_as_full(mount: Mount) -> None:
    with pytest.raises(StorageError, match="is full"):
        check_storage(mount("nr_inodes=1"))


def test_the_file_system_is_that_of_the_nearest_mount_point(mount: Mount, tmp_path: Path) -> None:
    point = tmp_path.resolve()
    while not os.path.ismount(point):
        point = point.parent
    above = filesystem_of(tmp_path)
    assert above.mount_point == str(point)
    assert above.type not in ("", "unknown")
    folder = mount("size=1m")
    (folder / "below").mkdir()
    (tmp_path / "link").symlink_to(folder / "below")
    (tmp_path / "mounted-not").mkdir()
    for inside in (folder, folder / "below", tmp_path / "link"):
        assert (filesystem_of(inside).type, filesystem_of(inside).mount_point) == ("tmpfs", str(folder))
    assert "size=1024k" in filesystem_of(folder).options
    assert filesystem_of(tmp_path / "mounted-not") == above


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three files of 1, 20 and 0 bytes in nested folders, one of them empty."""
    root = tmp_path / "tree"
    for folder in ("a/b", "empty"):
        (root / folder).mkdir(parents=True)
    for name, size in (("one", 1), ("a/b/twenty", 20), ("a/nothing", 0)):
        (root / name).write_bytes(bytes(size))
    return root


def test_a_tree_is_as_large_as_its_files(tree: Path) -> None:
    assert tree_size(tree) == (21, 3)
    assert {path.name for path in files_below(tree)} == {"one", "twenty", "nothing"}
    assert tree_size(tree / "empty") == (0, 0)


def test_a_preallocated_file_has_its_size_and_no_room_is_an_error_at_once(mount: Mount) -> None:
    with (mount("size=1m") / "file").open("wb") as file:
        preallocate(file.fileno(), 500_000)
        assert os.fstat(file.fileno()).st_size == 500_000
        with pytest.raises(OSError, match="No space left") as raised:
            preallocate(file.fileno(), 5_000_000)
        assert raised.value.errno == errno.ENOSPC


def test_only_regular_files_count(tree: Path) -> None:
    (tree / "link").symlink_to("one")
    (tree / "dangling").symlink_to("nowhere")
    (tree / "folder").symlink_to(tree / "a")
    os.mkfifo(tree / "pipe")
    assert tree_size(tree) == (21, 3)


@pytest.mark.skipif(hasattr(fcntl, "F_FULLFSYNC"), reason="macOS syncs by fcntl, which this does not watch")
def test_syncing_a_tree_reaches_every_file_every_folder_and_its_parent(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").resolve()))
    sync_tree(tree)
    folders = [tree.parent, tree, tree / "a", tree / "a" / "b", tree / "empty"]
    assert sorted(synced) == sorted([*folders, *files_below(tree)])
    for path in synced:
        assert path == tree.parent or synced.index(path) < synced.index(path.parent), "the folder went first"
