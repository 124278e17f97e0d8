"""From what went wrong to a sentence that says it, and what to try."""

import errno
import os
import re
import signal
import tempfile
import traceback
from pathlib import Path
from typing import Final

from backends.patience import UnansweredError, within
from backends.storage.pagecache import unwritten_bytes
from state.errors import CkptTuiError
from state.run.records import Failure

LOG_TAIL_LINES: Final = 30
_VMSTAT: Final = Path("/proc/vmstat")
_PROC_SELF: Final = Path("/proc/self")
_DISK_FULL: Final = Failure("the storage is full", "free some space, choose another --storage or a smaller --size")
_NO_MEMORY: Final = Failure("out of memory", "choose a smaller --size or close other programs")
_NO_THREADS: Final = Failure(
    "no further thread or process may be started",
    "raise the limit (ulimit -u and -v, or the container's) or choose a lower --concurrency",
)
_READ_ONLY: Final = Failure(
    "the storage has become read-only", "see the system's log for the reason, or choose another --storage"
)
_DEAD_DO: Final = "check the disk, the mount or the network behind it, or choose another --storage"
#: What the system says, whatever it is asked for. Errors of a device, a mount and a connection come in many kinds.
_BY_ERRNO: Final = {
    errno.ENOSPC: _DISK_FULL,
    errno.EDQUOT: _DISK_FULL,
    errno.EROFS: _READ_ONLY,
    errno.ENOMEM: _NO_MEMORY,
    errno.EMFILE: Failure(
        "too many files are open at once", "raise the limit (ulimit -n) or choose a lower --concurrency"
    ),
    errno.ENFILE: Failure(
        "too many files are open in the whole system", "end other programs or choose a lower --concurrency"
    ),
    errno.EFBIG: Failure(
        "a file is larger than it may be here",
        "raise the limit (ulimit -f), choose another --storage or a smaller --size",
    ),
    **{
        code: Failure(f"the storage fails ({os.strerror(code)})", _DEAD_DO)
        for code in (
            *(errno.EIO, errno.ENXIO, errno.ENODEV, errno.ENOTCONN, errno.ESTALE, errno.ESHUTDOWN, errno.ECONNABORTED),
            *(errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EREMOTEIO),
        )
    },
}
#: What it says when a folder that was there is asked for again.
_OF_THE_FOLDER: Final = {
    errno.ENOENT: Failure("the storage is not there any more", "mount it again or choose another --storage"),
    errno.ENOTDIR: Failure("the storage is not there any more", "mount it again or choose another --storage"),
    errno.EACCES: Failure(
        "the storage may not be written any more", "give the rights back or choose another --storage"
    ),
    errno.EPERM: Failure("the storage may not be written any more", "give the rights back or choose another --storage"),
}
#: What a process lacks, whatever the storage.
_OF_THE_PROCESS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EFBIG, errno.EINTR)
#: Libraries in C++ and Rust put the system's number, or its words, into texts of their own: TensorStore "[OS error 28:
#: No space left on device]", Rust "No space left on device (os error 28)".
_NUMBER: Final = re.compile(r"\b(?:OS error|Errno) (\d+)", re.IGNORECASE)
#: A storage that takes as much is not full; libraries stop at a block that no longer goes in.
_PROBE_BYTES: Final = 1 << 20
#: What torch says of a GPU that is full: "Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which
#: 1.06 GiB is free."
_GPU_MEMORY: Final = {
    "wanted": r"Tried to allocate ([\d.]+ \w+)",
    "free": r"of which ([\d.]+ \w+) is free",
    "in all": r"total capacity of ([\d.]+ \w+)",
}
_NO_GPU_MEMORY_DO: Final = "choose a smaller --size or end other programs on that GPU"


def tail(text: str) -> str:
    """The last lines of a log."""
    return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])


def describe_exception(error: BaseException, storage: Failure | None = None) -> Failure:
    """A failure for an exception that a trial raised; the traceback becomes its log.

    Args:
        error: The exception.
        storage: What is wrong with the storage: it counts where the exception does not say what the system said.
    """
    log = tail("".join(traceback.format_exception(error)))
    # A task group wraps the first error of its tasks.
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, CkptTuiError):
        return Failure(error.what, error.do, log)
    known = _known(error) or storage
    if known is not None:
        return Failure(known.what, known.do, log)
    first_line = next(iter(str(error).strip().splitlines()), "")
    return Failure(f"{type(error).__name__}: {first_line[:300]}".rstrip(": "), "see the log", log)


def storage_failure(folder: Path, made: os.stat_result, patience_s: float) -> Failure | None:
    """Why a folder that could be written takes nothing any more; None if it does.

    Args:
        folder: Where to write.
        made: What it was. Where a mount has gone, some libraries make the folder anew, on the disk below.
        patience_s: How long it may take: what others have written before it may have to be put on the device first.
    """
    unwritten = unwritten_bytes() or 0
    try:
        within(patience_s, lambda: _write_a_little(folder, made))
    except OSError as error:
        code = error.errno or errno.EIO
        if code in _OF_THE_PROCESS:
            return None
        return (
            _OF_THE_FOLDER.get(code)
            or _BY_ERRNO.get(code)
            or Failure(f"the storage fails ({error.strerror})", _DEAD_DO)
        )
    except UnansweredError:
        if (unwritten_bytes() or 0) < unwritten - _PROBE_BYTES:
            return None  # it is slow, and writes what came before
        return Failure(f"the storage has not answered for {patience_s:g} s", _DEAD_DO)
    return None


def check_same(folder: Path, made: os.stat_result) -> None:
    """See that a folder is the one that was made, and not another in its place.

    Raises:
        FileNotFoundError: If it is not, or is gone.
    """
    if not os.path.samestat(folder.stat(), made):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _write_a_little(folder: Path, made: os.stat_result) -> None:
    check_same(folder, made)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(_PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())


def is_full(failure: Failure) -> bool:
    """Whether there is only no room: what is deleted makes some for the next trial."""
    return failure.what == _DISK_FULL.what


def _known(error: BaseException) -> Failure | None:
    """What the system said, or torch of a GPU, wherever in an exception or its causes it stands; None if neither."""
    text = str(error)
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        return _BY_ERRNO[error.errno]
    # torch's, of a GPU; or CUDA's own, which does not even come up.
    if type(error).__name__ == "OutOfMemoryError" or "CUDA error: out of memory" in text:
        said = {words: re.search(pattern, text) for words, pattern in _GPU_MEMORY.items()}
        what = ", ".join(f"{match[1]} {words}" for words, match in said.items() if match)
        return Failure(f"out of GPU memory{f' ({what})' if what else ''}", _NO_GPU_MEMORY_DO)
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    if isinstance(error, OSError) and error.errno == errno.EAGAIN:  # of a process or a thread; files do not say it
        return _NO_THREADS
    if lack := _lack(text):
        return lack
    numbers = [int(number) for number in _NUMBER.findall(text)]
    numbers += [code for code in _BY_ERRNO if os.strerror(code) in text]
    if found := next((_BY_ERRNO[number] for number in numbers if number in _BY_ERRNO), None):
        return found
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return _known(cause) if cause is not None else None


def lack_of_the_process(error: BaseException) -> Failure | None:
    """What the system does not give to a process that measures nothing itself; None if it is something else."""
    if isinstance(error, FileNotFoundError) and str(error.filename).startswith("/proc/") and not _PROC_SELF.exists():
        return Failure("this system shows no /proc", "mount it (mount -t proc proc /proc), or run ckpt-tui where it is")
    if isinstance(error, OSError):
        return _BY_ERRNO[error.errno] if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM) else None
    return _NO_MEMORY if isinstance(error, MemoryError) else _lack(str(error))


def _lack(text: str) -> Failure | None:
    """What a process lacks, in the words of the C++ library and of Python."""
    if re.search(r"allocate memory|std::bad_alloc|\bMemoryError|failed to map segment", text):
        return _NO_MEMORY
    if re.search(r"can't start new thread|std::system_error'\n.*Resource temporarily unavailable", text):
        return _NO_THREADS
    return None


def describe_exit(status: int, log: str, *, out_of_memory: bool) -> Failure:
    """A failure for a process that ended without a result.

    Args:
        status: As `os.waitpid` has it.
        log: What it wrote.
        out_of_memory: Whether the system killed a process for lack of memory meanwhile.
    """
    number = status & 0x7F
    if number == 0 and (lack := _lack(tail(log))):  # it could not even say it
        return Failure(lack.what, lack.do, tail(log))
    if number == 0:
        return Failure(f"ended with exit status {status >> 8} and no result", "see the log", tail(log))
    name = signal_name(number)
    if number == signal.SIGBUS:
        return Failure(
            f"crashed ({name}): a file that was mapped cannot be read any more",
            "check the storage, and see the log",
            tail(log),
        )
    if number == signal.SIGABRT and (lack := _lack(log)):
        return Failure(lack.what, lack.do, tail(log))
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
