"""Forked children of the worker: one piece of work each, watched, and killed without mercy.

A child speaks to the worker through a pipe of its own, in lines of `state.run.events`. The end of the pipe is the end
of the child. It leads a process group, so that killing it takes along whatever a library started.
"""

import contextlib
import ctypes
import gc
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Final

import msgspec
import psutil

from backends.storage.pagecache import unwritten_bytes
from state.errors import CkptTuiError
from state.option_types import WATCH_S
from state.run.events import Event, WorkerEvent, decode_event, encode
from state.units import MIB

Emit = Callable[[Event], None]

_PR_SET_PDEATHSIG: Final = 1
_CHECK_S: Final = WATCH_S
#: How long a child may take to exit after its last word, and how long to be gone when it is killed.
_EXIT_S: Final = 2.0
_DEATH_S: Final = 5.0
_LOOK_S: Final = 0.002
#: By how much the system's dirty pages must fall to count as a disk that works; other programs make them flicker.
_WRITTEN_BYTES: Final = 16 * MIB


class ChildKilledError(CkptTuiError):
    """The child was killed, because it came no further, took too long, or wrote what is no event into its pipe."""


class Patience(msgspec.Struct, frozen=True):
    """When to give a child up.

    Attributes:
        stall_s: Without a tick of processor time and without a byte moved.
        timeout_s: After its start, whatever it does; None never.
    """

    stall_s: float = 120.0
    timeout_s: float | None = None


def fork(work: Callable[[Emit], None], close_fds: tuple[int, ...]) -> tuple[int, int]:
    """Start a child that does `work` and exits.

    Args:
        work: Given a function that sends an event to the worker. What it raises goes to the log, with exit status 1.
        close_fds: Descriptors of the worker that are none of the child's business.

    Returns:
        Its process number and the reading end of its pipe.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # otherwise every collection in the child copies the pages of all that the worker has imported
    read_fd, write_fd = os.pipe()
    parent_pid = os.getpid()
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # the child does the same; whoever is first
            os.setpgid(pid, pid)
        os.close(write_fd)
        return pid, read_fd
    status = 1
    try:
        os.setpgid(0, 0)
        _die_with(parent_pid)
        os.close(read_fd)
        for fd in close_fds:
            os.close(fd)
        null_fd = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null_fd, 0)
        work(lambda event: write_all(write_fd, encode(event)))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # No interpreter shutdown: a child owns nothing, and libraries' exit handlers belong to the worker.
        os._exit(status)


def write_all(fd: int, data: bytes) -> None:
    """Write everything, though the pipe may take it only in parts."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def end_with_parent(number: signal.Signals | None) -> None:
    """Let the kernel send this process a signal when its parent dies, or none (Linux only; see prctl(2)).

    To be exact, when the thread ends that has started it: start processes from threads that stay.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number or 0)


def _die_with(parent_pid: int) -> None:
    """Let the kernel kill this process when its parent dies."""
    end_with_parent(signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the line above
        os._exit(1)


def kill(pid: int) -> int:
    """Kill a child with its group and collect it. Returns its status as `os.waitpid` has it.

    One that waits for a storage that has died may be past killing: it is given up, and collected with this process.
    """
    for target in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            target(pid, signal.SIGKILL)
    status = status_within(pid, _DEATH_S)
    return status if status is not None else int(signal.SIGKILL)


def status_within(pid: int, time_s: float) -> int | None:
    """The status of a child that ends in time, collected; None if it does not.

    Args:
        pid: The child.
        time_s: How long to wait.
    """
    deadline_s = time.monotonic() + time_s
    while time.monotonic() < deadline_s:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(_LOOK_S)
    return None


class LineReader:
    """Cuts what arrives on a descriptor into lines."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._rest = b""

    def read(self) -> list[bytes] | None:
        """The lines that are complete now; None at the end of the stream."""
        data = os.read(self.fd, 1 << 16)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines


def follow(
    pid: int,
    read_fd: int,
    patience: Patience,
    on_event: Callable[[WorkerEvent], None],
    interrupt_fd: int | None = None,
    on_interrupt: Callable[[], None] = lambda: None,
) -> int:
    """Pass on a child's events until it ends. Whatever a callback raises ends the child, too.

    Args:
        pid: The child.
        read_fd: Its pipe; closed on return.
        patience: When to give it up.
        on_event: Called with each event.
        interrupt_fd: A descriptor to watch besides; None if nothing shall interrupt it.
        on_interrupt: Called when that has something to read.

    Returns:
        Its exit status as `os.waitpid` has it.

    Raises:
        ChildKilledError: If it had to be given up.
    """
    watch = _StallWatch(pid, patience)
    reader = LineReader(read_fd)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(read_fd, selectors.EVENT_READ)
            if interrupt_fd is not None:
                selector.register(interrupt_fd, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select(_CHECK_S)}
                if interrupt_fd in ready:
                    on_interrupt()
                if read_fd in ready:
                    lines = reader.read()
                    if lines is None:
                        return _collect(pid)
                    for line in lines:
                        on_event(_decode(line))
                watch.check()
    except BaseException:
        kill(pid)
        raise
    finally:
        os.close(read_fd)


def _decode(line: bytes) -> WorkerEvent:
    try:
        return decode_event(line)
    except msgspec.DecodeError:
        raise ChildKilledError(f"sent what is no message: {line[:80]!r}", "see the log") from None


def _collect(pid: int) -> int:
    """The status of a child whose pipe has ended; one that closed the pipe but lives on is killed."""
    status = status_within(pid, _EXIT_S)
    if status is None:
        return kill(pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # what it started and left behind
    return status


class _StallWatch:
    """Notices that a child and its descendants neither compute nor move bytes, nor wait for a disk that does."""

    def __init__(self, pid: int, patience: Patience) -> None:
        self._process = psutil.Process(pid)
        self._patience = patience
        self._start_s = self._moved_s = self._checked_s = time.monotonic()
        self._last: tuple[float, int] | None = None
        self._dirty_bytes = 0

    def check(self) -> None:
        """Look, at most every two seconds.

        Raises:
            ChildKilledError: With the reason.
        """
        now_s = time.monotonic()
        if now_s - self._checked_s < _CHECK_S:
            return
        self._checked_s = now_s
        seen, dirty_bytes = self._look(), unwritten_bytes() or 0
        # One fsync of gigabytes is a wait of minutes without a tick of the child's own: then what is dirty must fall.
        if seen != self._last or dirty_bytes < self._dirty_bytes - _WRITTEN_BYTES:
            self._last, self._dirty_bytes, self._moved_s = seen, dirty_bytes, now_s
        if now_s - self._moved_s > self._patience.stall_s:
            raise ChildKilledError(
                f"hung: no byte moved and no processor time used for {self._patience.stall_s:g} s",
                "see the log, or allow more with --stall-timeout",
            )
        if self._patience.timeout_s is not None and now_s - self._start_s > self._patience.timeout_s:
            raise ChildKilledError(f"not finished after {self._patience.timeout_s:g} s", "allow more with --timeout")

    def _look(self) -> tuple[float, int] | None:
        try:
            family = [self._process, *self._process.children(recursive=True)]
            cpu_s = sum(sum(process.cpu_times()[:2]) for process in family)
            chars = sum(
                counters.read_chars + counters.write_chars
                for process in family
                if hasattr(process, "io_counters") and (counters := process.io_counters())
            )
        except psutil.Error:
            return None
        return cpu_s, chars
