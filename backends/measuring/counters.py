"""What a process has used so far, as the kernel counts it."""

import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from state.run.records import Cost

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class IoCounters(NamedTuple):
    """Bytes since the process began.

    `read_chars` and `write_chars` count what went through read and write calls, cache or not; the `device` pair
    counts what the block layer delivered, and what this process made dirty for it to write.
    """

    read_chars: int
    write_chars: int
    device_read_bytes: int
    device_write_bytes: int


def io_counters(process: psutil.Process) -> IoCounters | None:
    """The counters of a process and its threads; None on systems that have none (macOS)."""
    if not hasattr(process, "io_counters"):
        return None
    counters = process.io_counters()
    return IoCounters(counters.read_chars, counters.write_chars, counters.read_bytes, counters.write_bytes)


def moved_bytes(counters: IoCounters | None, operation: str) -> int:
    """Bytes that a save has written or a load has read. A mapped file shows only at the device, hence the larger."""
    if counters is None:
        return 0
    if operation == "save":
        return max(counters.write_chars, counters.device_write_bytes)
    return max(counters.read_chars, counters.device_read_bytes)


class Meter:
    """What this process uses between the start and the end of the clock."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._peak_is_ours = _reset_peak()
        self._start_rss_bytes = self._process.memory_info().rss
        self._start_io = io_counters(self._process)
        self._start_cpu_s = time.process_time()

    def cost(self) -> Cost:
        """Everything since the meter was made."""
        cpu_s = time.process_time() - self._start_cpu_s
        io = io_counters(self._process)
        cost = Cost(cpu_s)
        if self._peak_is_ours:
            peak_rss_bytes = max(_peak_rss_bytes(), self._start_rss_bytes)
            extra_rss_bytes = peak_rss_bytes - self._start_rss_bytes
            cost = msgspec.structs.replace(cost, peak_rss_bytes=peak_rss_bytes, extra_rss_bytes=extra_rss_bytes)
        if io is None or self._start_io is None:
            return cost
        return msgspec.structs.replace(
            cost,
            device_write_bytes=io.device_write_bytes - self._start_io.device_write_bytes,
            device_read_bytes=io.device_read_bytes - self._start_io.device_read_bytes,
        )


def _reset_peak() -> bool:
    """Set the process's peak back to the present, see proc(5). Returns whether the system can."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


def _peak_rss_bytes() -> int:
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
