"""The device's limit on real files: it writes and reads the model's bytes under the run's rules, and says how."""

import errno
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from backends.measuring import device_limit
from backends.measuring.device_limit import FILE_NAME, PATTERNS, LimitTrial
from backends.measuring.shared_model import Arena
from backends.methods import direct
from backends.storage import block_sizes, pagecache
from backends.storage.blocks import Pattern
from backends.tensors import VerificationError
from state.model import Model
from state.plan import LIMIT, Cache, Durability, Operation, Plan
from state.run.records import LoadResult, SaveResult
from tests.backends.runs import measure
from tests.backends.samples import folder_on_disk, info

linux = pytest.mark.skipif(not psutil.LINUX, reason="elsewhere there is no O_DIRECT and nobody counts")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with folder_on_disk(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="module")
def source() -> memoryview:
    """The memory of a model of 5,000,003 bytes: no whole number of pages, more than one block of every pattern."""
    with closing(Arena(Model("m", "m", (info("w", "uint8", (5_000_000,)), info("b", "uint8", (3,)))))) as arena:
        arena.shared_views()["w"].random_(generator=torch.Generator().manual_seed(0))
        return arena.logical_memory()


class Bench:
    """The limit on one folder."""

    def __init__(
        self, source: memoryview, disk: Path, cache: Cache = "cold", durability: Durability = "durable"
    ) -> None:
        self.source = source
        self.plan = Plan(methods=("pytorch",), cache=cache, durability=durability)
        self.folder = disk / "limit"
        self.phases: list[str] = []

    def _trial(self, operation: Operation) -> LimitTrial:
        self.phases.clear()
        return LimitTrial(self.source, self.plan, operation, lambda phase, moved_bytes: self.phases.append(phase))

    def save(self) -> SaveResult:
        return self._trial("save").save(self.folder)

    def load(self) -> LoadResult:
        return self._trial("load").load(self.folder)


def test_the_source_is_as_long_as_the_model_in_whole_pages(source: memoryview) -> None:
    assert len(source) == -(-5_000_003 // mmap.PAGESIZE) * mmap.PAGESIZE
    with closing(Arena(Model("m", "m", ()))) as empty:
        assert len(empty.logical_memory()) == mmap.PAGESIZE


@linux
def test_the_limit_goes_through_the_protocol_of_every_trial(source: memoryview, disk: Path) -> None:
    bench = Bench(source, disk)
    saved = bench.save()
    assert bench.phases == ["warm-up", "settle", "measure", "sync", "verify"]
    assert saved.stages_s.keys() == {"warm-up", "settle", "memory", "measure", "sync", "size", "verify"}
    assert (saved.file_count, saved.stored_bytes) == (1, len(source))
    assert saved.durable_s is not None
    assert 0 < saved.returned_s <= saved.durable_s
    assert (bench.folder / FILE_NAME).read_bytes() == source
    loaded = bench.load()
    assert bench.phases == ["warm-up", "settle", "evict", "measure", "verify"]
    assert list(loaded.stages_s) == ["warm-up", "settle", "evict", "memory", "measure", "verify"]
    assert loaded.cache == "cold"
    assert [path.name for path in disk.iterdir()] == ["limit"], "what was tried is gone"


@linux
def test_what_was_tried_and_chosen_is_told(source: memoryview, disk: Path) -> None:
    bench = Bench(source, disk)
    for spec in (bench.save().spec, bench.load().spec):
        assert spec["direct"] is True
        assert "note" not in spec
        tried = [(attempt["block_bytes"], attempt["depth"]) for attempt in spec["tried"]]
        assert tried == list(PATTERNS)[: len(tried)]
        assert (spec["block_bytes"], spec["depth"]) in tried
        assert all(attempt["rate_bytes_per_s"] > 0 for attempt in spec["tried"])


@linux
def test_a_direct_write_and_read_leave_no_page_in_memory(source: memoryview, disk: Path) -> None:
    bench = Bench(source, disk)
    saved = bench.save()
    assert (saved.cost.device_write_bytes or 0) >= len(source)
    assert saved.cost.extra_rss_bytes is not None
    assert saved.cost.extra_rss_bytes < len(source) / 2
    seen = pagecache.residency(bench.folder)
    assert seen is not None
    assert seen.resident_bytes == 0


@linux
def test_where_methods_use_the_page_cache_the_limit_does_too(source: memoryview, disk: Path) -> None:
    bench = Bench(source, disk, "warm", "buffered")
    saved, loaded = bench.save(), bench.load()
    assert saved.durable_s is None
    assert loaded.cache == "warm"
    assert (saved.spec["direct"], saved.spec["synced"], loaded.spec["direct"]) == (False, False, False)
    assert saved.spec["note"] == loaded.spec["note"] == "through the page cache, as this run's rules ask for"


@linux
def test_a_buffered_limit_syncs_nothing(source: memoryview, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    Bench(source, disk, durability="buffered").save()
    assert synced == []


@linux
def test_a_durable_limit_syncs_its_file_its_folder_and_the_parent_last(
    source: memoryview, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink())
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    bench = Bench(source, disk)
    bench.save()
    assert synced[-3:] == [bench.folder / FILE_NAME, bench.folder, bench.folder.parent]


def refusing(real: Callable[..., int]) -> Callable[..., int]:
    def refuse(path: Any, flags: int, *mode: int, **rest: Any) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(path, flags, *mode, **rest)

    return refuse


@linux
def test_a_file_system_without_a_way_past_the_page_cache_is_written_through_it_and_that_is_told(
    source: memoryview, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", refusing(os.open))
    bench = Bench(source, disk)
    for spec in (bench.save().spec, bench.load().spec):
        assert spec["direct"] is False
        assert spec["note"] == "through the page cache: the file system has no way past it"


def test_any_other_error_of_the_device_is_no_reason_to_write_through_the_page_cache(
    source: memoryview, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pwrite(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(OSError, match="No space left"):
        Bench(source, disk).save()
    assert list(disk.iterdir()) == []


@linux
@pytest.mark.parametrize("position", [0, 4_999_999])
def test_a_flipped_bit_or_a_short_file_is_no_limit(source: memoryview, disk: Path, position: int) -> None:
    bench = Bench(source, disk)
    bench.save()
    path = bench.folder / FILE_NAME
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerificationError, match="differs within 16 MiB of byte 0"):
        bench.load()
    path.write_bytes(data[: position // 2])
    with pytest.raises(VerificationError, match="ends at byte"):
        bench.load()


def test_requests_that_the_system_cuts_short_are_continued(
    source: memoryview, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite, preadv = os.pwrite, os.preadv
    page = mmap.PAGESIZE
    monkeypatch.setattr(device_limit, "DIRECT", 0)
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[: 3 * page], at))
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, at: preadv(fd, [buffers[0][: 5 * page]], at))
    bench = Bench(source, disk)
    bench.save()
    assert (bench.folder / FILE_NAME).read_bytes() == source
    assert isinstance(bench.load(), LoadResult)


def test_a_large_model_tries_a_part_of_its_bytes_only(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_sizes, "TRY_BYTES", 1 << 20)
    large = memoryview(mmap.mmap(-1, 5 << 20))
    seen: list[tuple[str, int]] = []
    read = LimitTrial._read_file

    def note(self: LimitTrial, path: Path, size_bytes: int, pattern: Pattern) -> None:
        seen.append((path.name, size_bytes >> 20))
        read(self, path, size_bytes, pattern)

    monkeypatch.setattr(LimitTrial, "_read_file", note)
    bench = Bench(large, disk)
    bench.save()
    bench.load()
    assert seen[-1] == (FILE_NAME, 5)
    assert {size for _, size in seen[:-1]} == {1}
    assert FILE_NAME not in {name for name, _ in seen[:-1]}, "nobody reads the limit's own file before the clock"
    assert not list(disk.rglob(f"*-{FILE_NAME}"))


def test_a_model_larger_than_the_buffers_is_written_as_its_beginning_again_and_again(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_limit, "_BUFFER_BYTES", 16 << 20)
    monkeypatch.setattr(device_limit, "PATTERNS", PATTERNS[:2])
    large = mmap.mmap(-1, (37 << 20) + mmap.PAGESIZE)
    large[: 16 << 20] = os.urandom(16 << 20)
    bench = Bench(memoryview(large), disk)
    bench.save()
    assert (bench.folder / FILE_NAME).read_bytes() == (large[: 16 << 20] * 3)[: len(large)]
    assert isinstance(bench.load(), LoadResult)


def test_a_real_run_measures_its_limits_and_every_row_has_its_share(small_model: Path, disk: Path) -> None:
    from state.analysis.results import method_results
    from state.run.limits import limits_of

    run, _ = measure(Plan(model=str(small_model), storage=str(disk), repeats=2, methods=("pytorch",)))
    assert [record.status for record in run.records if record.trial.method == LIMIT] == ["done"] * 4
    known = limits_of(run)
    assert all(rate and rate > 0 for rate in (known.write_bytes_per_s, known.read_bytes_per_s, known.gzip_bytes_per_s))
    assert run.limits_failure is None
    (result,) = method_results(run)
    assert result.save is not None
    assert result.save.limit_fraction is not None
    assert known.write_bytes_per_s is not None
    assert run.model is not None
    assert result.save.limit_fraction == pytest.approx(
        run.model.logical_bytes / known.write_bytes_per_s / result.save.median_s
    )


def test_the_limit_tries_what_direct_does() -> None:
    """Or a method of ours might be held against less than the device gives."""
    assert {*direct.PATTERNS, direct.READS} <= set(PATTERNS)
