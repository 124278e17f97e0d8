"""From what went wrong to a sentence."""

import errno
import os
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from backends.process.failures import (
    LOG_TAIL_LINES,
    describe_exception,
    describe_exit,
    is_full,
    oom_kills,
    storage_failure,
)
from state.errors import ModelError

FULL, NO_MEMORY = "the storage is full", "out of memory"


class OutOfMemoryError(RuntimeError):
    """Named as torch's error of a GPU without room."""


EXCEPTIONS: list[tuple[BaseException, str]] = [
    (OSError(errno.ENOSPC, "full"), FULL),
    (OSError(errno.EDQUOT, "full"), FULL),
    (ValueError("RESOURCE_EXHAUSTED: Error writing: [OS error 28: No space left on device]"), FULL),
    (RuntimeError("PytorchStreamWriter failed: Disk quota exceeded"), FULL),
    (RuntimeError("I/O error: No space left on device (os error 28)"), FULL),
    (OSError(errno.EROFS, "Read-only file system"), "the storage has become read-only"),
    (
        ValueError("UNKNOWN: Error opening file: [OS error 30: Read-only file system]"),
        "the storage has become read-only",
    ),
    (OSError(errno.EIO, "Input/output error"), "the storage fails (Input/output error)"),
    (RuntimeError("pwrite: Input/output error"), "the storage fails (Input/output error)"),
    (OSError(errno.ENOTCONN, "x"), "the storage fails (Transport endpoint is not connected)"),
    (OSError(errno.ESTALE, "x"), "the storage fails (Stale file handle)"),
    (OSError(errno.EMFILE, "Too many open files"), "too many files are open at once"),
    (ValueError("INTERNAL: [OS error 24: Too many open files]"), "too many files are open at once"),
    (OSError(errno.EFBIG, "File too large"), "a file is larger than it may be here"),
    (RuntimeError("can't start new thread"), "no further thread or process may be started"),
    (MemoryError(), NO_MEMORY),
    (OutOfMemoryError("CUDA out of memory."), "out of GPU memory"),
    (
        OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.06 GiB "
            "is free. Process 1 has 78.03 GiB memory in use."
        ),
        "out of GPU memory (2.00 GiB wanted, 1.06 GiB free, 79.10 GiB in all)",
    ),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1152921504606846976"), NO_MEMORY),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), NO_MEMORY),
    (RuntimeError("first line\nsecond line"), "RuntimeError: first line"),
    (RuntimeError("\n\n  indented\n"), "RuntimeError: indented"),
    (AssertionError(), "AssertionError"),
    (RuntimeError("x" * 10**6), f"RuntimeError: {'x' * 300}"),
    (ExceptionGroup("tasks", [ExceptionGroup("inner", [OSError(errno.ENOSPC, "full")]), KeyError("b")]), FULL),
    (ExceptionGroup("tasks", [ModelError("no model", "choose one"), MemoryError()]), "no model"),
]


@pytest.mark.parametrize(("error", "what"), EXCEPTIONS, ids=lambda value: repr(value)[:40])
def test_an_exception_becomes_a_sentence_with_its_traceback(error: BaseException, what: str) -> None:
    with pytest.raises(type(error)) as caught:
        raise error
    failure = describe_exception(caught.value)
    assert failure.what == what
    assert failure.do == "choose one" if what == "no model" else failure.do
    assert "raise error" in failure.log
    assert 3 <= len(failure.log.splitlines()) <= LOG_TAIL_LINES


def test_the_cause_counts_where_an_exception_hides_it() -> None:
    hidden = RuntimeError("the writer is in a bad state")
    hidden.__cause__ = OSError(errno.ENOSPC, "full")
    assert describe_exception(hidden).what == FULL


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (errno.ENOSPC, FULL),
        (errno.EROFS, "the storage has become read-only"),
        (errno.ENOENT, "the storage is not there any more"),
        (errno.ENOTDIR, "the storage is not there any more"),
        (errno.EACCES, "the storage may not be written any more"),
        (errno.EIO, "the storage fails (Input/output error)"),
        (errno.ESTALE, "the storage fails (Stale file handle)"),
        (errno.EBADMSG, "the storage fails (Bad message)"),
    ],
)
def test_where_a_library_does_not_say_what_the_system_said_the_storage_is_asked(
    code: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = RuntimeError("[enforce fail at inline_container.cc:659] . unexpected pos 64 vs 0")
    assert describe_exception(hidden, storage_failure(tmp_path, tmp_path.stat(), 60)).what.startswith(
        "RuntimeError: [enforce fail"
    )

    def refuse(**_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert describe_exception(hidden, storage_failure(tmp_path, tmp_path.stat(), 60)).what == what
    failure = storage_failure(tmp_path, tmp_path.stat(), 60)
    assert failure is not None
    assert is_full(failure) == (what == FULL)


def test_a_folder_that_was_made_anew_is_not_the_one_that_has_gone(tmp_path: Path) -> None:
    folder = tmp_path / "storage"
    folder.mkdir()
    (tmp_path / "another").mkdir()
    made = folder.stat()
    folder.rmdir()
    (tmp_path / "another").rename(folder)
    failure = storage_failure(folder, made, 60)
    assert failure is not None
    assert failure.what == "the storage is not there any more"


def test_a_storage_that_does_not_answer_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: answer.wait(60))
    failure = storage_failure(tmp_path, tmp_path.stat(), 0.1)
    answer.set()
    assert failure is not None
    assert failure.what == "the storage has not answered for 0.1 s"
    assert not is_full(failure)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("os._exit(3)", "ended with exit status 3 and no result"),
        ("os._exit(0)", "ended with exit status 0 and no result"),
        ("os.kill(os.getpid(), 11)", "crashed (SIGSEGV)"),
        ("os.abort()", "crashed (SIGABRT)"),
        ("os.kill(os.getpid(), 9)", "killed (SIGKILL): out of memory, or by somebody's hand"),
    ],
)
def test_the_end_of_a_real_process_becomes_a_sentence(code: str, what: str) -> None:
    pid = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", f"import os; {code}"])
    log = [f"line {number}" for number in range(100)]
    failure = describe_exit(os.waitpid(pid, 0)[1], "\n".join(log), out_of_memory=False)
    assert (failure.what, failure.log.splitlines(), bool(failure.do)) == (what, log[-LOG_TAIL_LINES:], True)


@pytest.mark.parametrize("number", [1, 6, 9, 11, 31, 34, 40, 64])
@pytest.mark.parametrize("core_dumped", [0, 0x80])
def test_every_signal_is_described(number: int, core_dumped: int) -> None:
    assert describe_exit(number | core_dumped, "", out_of_memory=False).what.startswith(("crashed", "killed"))
    assert ("lack of memory" in describe_exit(number, "", out_of_memory=True).what) == (number == 9)


def test_kills_for_lack_of_memory_are_counted_as_the_kernel_does() -> None:
    vmstat = Path("/proc/vmstat")
    counts = dict(line.split() for line in vmstat.read_text().splitlines()) if vmstat.exists() else {}
    assert oom_kills() == int(counts.get("oom_kill", 0))
