"""Real pages of real files, counted by the kernel."""

import mmap
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.storage import pagecache
from backends.storage.pagecache import (
    QUIET_BYTES,
    Residency,
    can_drop_caches,
    drop_caches,
    evict,
    mapped_ranges,
    read_through,
    residency,
    settle,
    unwritten_bytes,
)
from state.units import MIB
from tests.backends.samples import folder_on_disk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a program empty the page cache")
TRIES = range(5)  # another program may hold a page for a moment, or sync the disk
CONTENT = bytes(range(256)) * (4 * MIB // 256)
EVERYTHING = 4 * MIB + mmap.PAGESIZE


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A file of 4 MiB, one of a byte and an empty one."""
    with folder_on_disk(tmp_path) as folder:
        (folder / "below").mkdir()
        for name, content in (("below/large", CONTENT), ("byte", b"x"), ("empty", b"")):
            (folder / name).write_bytes(content)
        yield folder


def evicted(folder: Path) -> bool:
    """Whether evicting dirty pages once leaves none."""

    def write_and_evict() -> Residency | None:
        (folder / "below" / "large").write_bytes(CONTENT)
        evict(folder)
        return residency(folder)

    return any(write_and_evict() == (0, EVERYTHING) for _ in TRIES)


def test_files_are_resident_after_writing_gone_after_evicting_and_back_after_reading(folder: Path) -> None:
    assert residency(folder) == (EVERYTHING, EVERYTHING)
    assert evicted(folder)
    assert residency(folder) == (0, EVERYTHING), "looking brought pages into memory"
    read_through(folder)
    assert residency(folder) == (EVERYTHING, EVERYTHING)
    assert (folder / "below" / "large").read_bytes() == CONTENT


def test_a_folder_without_bytes_has_nothing_in_memory(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert residency(tmp_path) == (0, 0)


def test_evicting_works_without_the_right_to_drop_everything(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drop_caches() == can_drop_caches()
    read_through(folder)
    monkeypatch.setattr(pagecache, "_DROP_CACHES", folder / "no" / "such" / "file")
    assert not drop_caches()
    assert not can_drop_caches()
    assert evicted(folder)


def test_a_mapped_file_is_seen_where_it_is_mapped_and_no_longer_than_that(folder: Path) -> None:
    assert mapped_ranges(folder) == []
    with (folder / "below" / "large").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        (addresses,) = mapped_ranges(folder)
        assert len(addresses) == len(CONTENT)
        assert mapped_ranges(folder / "below") == [addresses]
        assert mapped_ranges(folder / "belo") == []
    assert mapped_ranges(folder) == []


def test_what_was_just_written_is_dirty_until_the_disk_settles(folder: Path) -> None:
    def dirty_then_quiet(number: int) -> bool:
        (folder / f"dirty-{number}").write_bytes(bytes(32 * MIB))
        return (unwritten_bytes() or 0) >= 16 * MIB and settle(folder) and (unwritten_bytes() or 0) < 16 * MIB

    assert any(dirty_then_quiet(number) for number in TRIES)


def test_a_disk_that_stays_busy_is_given_up_on_and_one_that_does_not_tell_is_synced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pagecache, "unwritten_bytes", lambda: QUIET_BYTES + 1)
        assert not settle(folder, timeout_s=0.2)
    monkeypatch.setattr(pagecache, "_MEMINFO", folder / "missing")
    assert settle(folder, timeout_s=0.2)
