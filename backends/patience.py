"""Questions that may never be answered: a mount whose server or program is gone keeps whoever asks, Ctrl-C or not."""

import contextlib
import os
import pickle
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, TypeVar

#: How long a healthy storage may take for a small answer: a disk that has to start up first takes some seconds.
ANSWER_S: Final = 10.0
_READ_BYTES: Final = 1 << 16
#: Those who were asked and given up, until they can be collected.
_given_up: Final[set[int]] = set()

_Answer = TypeVar("_Answer")


class UnansweredError(Exception):
    """It has taken too long, or whoever was asked is dead. Not the system's TimeoutError, which is an answer."""


def within(time_s: float, ask: Callable[[], _Answer]) -> _Answer:
    """What `ask` gives, or raises, if that does not take too long.

    It is asked in a process of its own, which is left behind if it takes too long: a thread that waits for a storage
    would keep this process from ending. Where the system gives no process, it is asked without a limit.

    Args:
        time_s: How long it may take.
        ask: The question; it finds no open file but those that it opens. The answer is pickled.

    Raises:
        UnansweredError: If it does.
    """
    for pid in tuple(_given_up):
        _collect(pid, os.WNOHANG)
    read_fd, write_fd = os.pipe()
    try:
        pid = os.fork()
    except OSError:  # better to wait than not to know
        os.close(read_fd)
        os.close(write_fd)
        return ask()
    if pid == 0:
        _answer(write_fd, ask)
    os.close(write_fd)
    _given_up.add(pid)
    try:
        told = _read_to_the_end(read_fd, time.monotonic() + time_s)
        if told is not None:
            _collect(pid, 0)
    finally:
        os.close(read_fd)
        if pid in _given_up:
            os.kill(pid, signal.SIGKILL)
    if not told:
        raise UnansweredError
    answer: _Answer
    answer, error = pickle.loads(told)  # of this very program, a moment ago
    if error is not None:
        raise error
    return answer


def _collect(pid: int, options: int) -> None:
    """Let the system forget a process that has ended; whoever ignores SIGCHLD has that done already."""
    done = pid
    with contextlib.suppress(ChildProcessError):
        done, _ = os.waitpid(pid, options)
    if done:
        _given_up.discard(pid)


def _answer(write_fd: int, ask: Callable[[], object]) -> NoReturn:
    """Answer, in the new process. It holds nothing that others wait for: no terminal, no pipe, no lock."""
    try:
        os.setsid()
        null_fd = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null_fd, fd)
        for fd in _open_fds():
            if fd > 2 and fd != write_fd:
                with contextlib.suppress(OSError):
                    os.close(fd)
        try:
            told = pickle.dumps((ask(), None))
        except BaseException as error:
            told = pickle.dumps((None, error))
        with os.fdopen(write_fd, "wb") as pipe:
            pipe.write(told)
    finally:
        os._exit(0)


def _open_fds() -> list[int]:
    """What is open; limits on it may be in the billions, so not all numbers are tried."""
    try:
        return [int(path.name) for path in Path("/dev/fd").iterdir()]
    except OSError:
        return list(range(4096))


def _read_to_the_end(fd: int, deadline_s: float) -> bytes | None:
    """All that comes; None if it has not come to an end in time."""
    read = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while poll.poll(max(0.0, deadline_s - time.monotonic()) * 1000):
        piece = os.read(fd, _READ_BYTES)
        if not piece:
            return read
        read += piece
    return None
