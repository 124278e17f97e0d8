"""From what went wrong to a sentence that says it, and what to try."""

import errno
import re
import signal
import traceback
from pathlib import Path
from typing import Final

from state.errors import CkptTuiError
from state.run import Failure

LOG_TAIL_LINES: Final = 20
_VMSTAT: Final = Path("/proc/vmstat")
_DISK_FULL: Final = Failure("the storage is full", "free some space, choose another --storage or a smaller --size")
#: What torch says of a GPU that is full: "Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which
#: 1.06 GiB is free."
_GPU_MEMORY: Final = {
    "wanted": r"Tried to allocate ([\d.]+ \w+)",
    "free": r"of which ([\d.]+ \w+) is free",
    "in all": r"total capacity of ([\d.]+ \w+)",
}
_NO_GPU_MEMORY_DO: Final = "choose a smaller --size or end other programs on that GPU"
_NO_MEMORY: Final = Failure("out of memory", "choose a smaller --size or close other programs")


def tail(text: str) -> str:
    """The last lines of a log."""
    return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])


def describe_exception(error: BaseException) -> Failure:
    """A failure for an exception that a trial raised; the traceback becomes its log."""
    log = tail("".join(traceback.format_exception(error)))
    # A task group wraps the first error of its tasks.
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, CkptTuiError):
        return Failure(error.what, error.do, log)
    text = str(error)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    # TensorStore and torch raise ValueError and RuntimeError with the system's message in the text.
    if full or "No space left on device" in text or "Disk quota exceeded" in text:
        return Failure(_DISK_FULL.what, _DISK_FULL.do, log)
    # torch's, of a GPU; or CUDA's own, which does not even come up.
    if type(error).__name__ == "OutOfMemoryError" or "CUDA error: out of memory" in text:
        said = {words: re.search(pattern, text) for words, pattern in _GPU_MEMORY.items()}
        what = ", ".join(f"{match[1]} {words}" for words, match in said.items() if match)
        return Failure(f"out of GPU memory{f' ({what})' if what else ''}", _NO_GPU_MEMORY_DO, log)
    if isinstance(error, MemoryError) or "allocate memory" in text or "Cannot allocate" in text:
        return Failure(_NO_MEMORY.what, _NO_MEMORY.do, log)
    first_line = next(iter(text.strip().splitlines()), "")
    return Failure(f"{type(error).__name__}: {first_line[:300]}".rstrip(": "), "see the log", log)


def describe_exit(status: int, log: str, *, out_of_memory: bool) -> Failure:
    """A failure for a process that ended without a result.

    Args:
        status: As `os.waitpid` has it.
        log: What it wrote.
        out_of_memory: Whether the system killed a process for lack of memory meanwhile.
    """
    number = status & 0x7F
    if number == 0:
        return Failure(f"ended with exit status {status >> 8} and no result", "see the log", tail(log))
    name = signal_name(number)
    if number == signal.SIGKILL:
        if out_of_memory:
            return Failure("killed by the system for lack of memory", _NO_MEMORY.do, tail(log))
        return Failure(f"killed ({name}): out of memory, or by somebody's hand", _NO_MEMORY.do, tail(log))
    return Failure(f"crashed ({name})", "see the log; the library has a bug or was given bad data", tail(log))


def signal_name(number: int) -> str:
    """``SIGKILL``; real-time signals have no name of their own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def oom_kills() -> int:
    """How many processes the system has killed for lack of memory since it started; 0 where it does not tell."""
    if not _VMSTAT.exists():
        return 0
    for line in _VMSTAT.read_text().splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return 0
