"""What the kernel counts."""

import os
import time
from pathlib import Path

import psutil
import pytest

from backends.measuring.counters import IoCounters, Meter, io_counters, moved_bytes
from backends.storage.folder import sync_path
from backends.storage.pagecache import evict, read_through, residency
from state.units import KIB, MIB
from tests.backends.samples import folder_on_disk

linux_only = pytest.mark.skipif(not psutil.LINUX, reason="only Linux counts this for each process")


@pytest.mark.parametrize(("operation", "expected"), [("save", 40), ("load", 30)])
def test_moved_bytes_are_those_of_the_operation(operation: str, expected: int) -> None:
    assert moved_bytes(IoCounters(30, 40, 20, 10), operation) == expected
    assert moved_bytes(IoCounters(3, 4, 30, 40), operation) == expected
    assert moved_bytes(None, operation) == 0


def test_a_meter_counts_processor_time_but_no_sleep() -> None:
    before_s, meter = time.process_time(), Meter()
    time.sleep(0.3)
    assert meter.cost().cpu_s <= time.process_time() - before_s
    end_s = time.process_time() + 0.3
    while time.process_time() < end_s:
        pass
    assert meter.cost().cpu_s >= 0.3


@linux_only
def test_a_meter_sees_a_peak_of_memory_that_is_gone_again_and_none_from_before() -> None:
    del (before := [bytearray(os.urandom(KIB)) * (192 * KIB)])[:]
    assert before == []
    meter = Meter()
    del (during := [bytearray(os.urandom(KIB)) * (64 * KIB)])[:]
    assert during == []
    cost = meter.cost()
    assert cost.extra_rss_bytes is not None
    assert cost.peak_rss_bytes is not None
    assert 60 * MIB <= cost.extra_rss_bytes < 160 * MIB
    assert cost.peak_rss_bytes >= cost.extra_rss_bytes


def gone(folder: Path) -> bool:
    """Whether evicting once leaves nothing in memory."""
    evict(folder)
    seen = residency(folder)
    return seen is not None and seen.resident_bytes == 0


@linux_only
def test_a_meter_counts_what_the_device_wrote_and_delivered(tmp_path: Path) -> None:
    with folder_on_disk(tmp_path) as disk:
        meter, before = Meter(), io_counters(psutil.Process())
        (disk / "file").write_bytes(os.urandom(8 * MIB))
        sync_path(disk / "file")
        after = io_counters(psutil.Process())
        assert 8 * MIB <= (meter.cost().device_write_bytes or 0) < 16 * MIB
        assert moved_bytes(after, "save") - moved_bytes(before, "save") >= 8 * MIB
        assert any(gone(disk) for _ in range(5))
        meter = Meter()
        read_through(disk)
        assert (meter.cost().device_read_bytes or 0) >= 8 * MIB
        meter = Meter()
        read_through(disk)
        assert meter.cost().device_read_bytes == 0, "what is in memory is not read again"
