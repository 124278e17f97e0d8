"""A real terminal for tests: a pseudo-terminal with a screen behind it."""

import contextlib
import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pyte


class Terminal:
    """A program in a terminal of a given size.

    Args:
        command: The program.
        arguments: Its arguments.
        columns: Width.
        lines: Height.
        screen: Lines and columns of what is really there, if the window tells something else.
    """

    def __init__(
        self, command: Path, *arguments: str, columns: int = 120, lines: int = 36, screen: tuple[int, int] | None = None
    ) -> None:
        height, width = screen or (lines, columns)
        self.screen: Any = pyte.HistoryScreen(width, height, history=2000)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        # pytest imports readline, which puts COLUMNS into the environment of the C library, behind Python's back.
        environment = dict(os.environ)
        environment.pop("CI", None)  # what is live in a terminal is lines there
        self.process: Any = pexpect.spawn(
            str(command), list(arguments), dimensions=(lines, columns), timeout=60, encoding=None, env=environment
        )

    @property
    def text(self) -> str:
        """What the screen shows now."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    @property
    def pid(self) -> int:
        """Process number of the program."""
        pid: int = self.process.pid
        return pid

    def read(self) -> bool:
        """Draw what has arrived. Returns whether the program's side is still open."""
        try:
            data = self.process.read_nonblocking(1 << 16, timeout=0.1)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:  # which it says as soon as the program is dead
            self._read_the_rest()
            return False
        self._draw(data)
        return True

    def _read_the_rest(self, patience_s: float = 5.0) -> None:
        """What still comes: the terminal's side is open as long as somebody has it, such as who tidies up."""
        fd, deadline_s = self.process.child_fd, time.monotonic() + patience_s
        with contextlib.suppress(OSError):  # the end of it
            while fd >= 0 and time.monotonic() < deadline_s:
                if select.select([fd], [], [], 0.1)[0]:
                    data = os.read(fd, 1 << 16)
                    if not data:
                        return
                    self._draw(data)

    def _draw(self, data: bytes) -> None:
        self.raw += data
        self._stream.feed(data)

    def wait_for(self, condition: Callable[[str], object], timeout_s: float = 60.0) -> str:
        """The screen as soon as it fulfils a condition.

        Raises:
            AssertionError: If that does not happen in time; with the screen.
        """
        deadline_s = time.monotonic() + timeout_s
        while not condition(self.text):
            still_open = self.read()
            if condition(self.text):
                break
            assert still_open, f"the program has ended:\n{self.text}"
            assert time.monotonic() < deadline_s, f"not in {timeout_s} s:\n{self.text}"
        return self.text

    def settle(self, quiet_s: float = 2.0) -> None:
        """Read until nothing more is drawn for a while, or for a minute.

        A blinking cursor is not drawn here, and clocks stand still where nothing runs.
        """
        deadline_s = time.monotonic() + 60
        quiet_since_s, before = time.monotonic(), len(self.raw)
        while time.monotonic() < min(deadline_s, quiet_since_s + quiet_s):
            self.read()
            if len(self.raw) != before:
                quiet_since_s, before = time.monotonic(), len(self.raw)

    def hang_up(self) -> None:
        """Close the window: the kernel tells the program, and nobody sends it signals or waits for it."""
        self.process.ptyproc.fileobj.close()
        self.process.child_fd = -1
        self.process.closed = True

    def finish(self, timeout_s: float = 60.0) -> int | None:
        """Read to the end. Returns the exit status."""
        deadline_s = time.monotonic() + timeout_s
        while self.read():
            assert time.monotonic() < deadline_s, f"still running after {timeout_s} s:\n{self.text}"
        self.process.close()
        status: int | None = self.process.exitstatus
        return status


def assert_terminal_restored(terminal: Terminal) -> None:
    """The main screen, a visible cursor and no mouse reports, after everything else."""
    for on, off in ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?25l", b"\x1b[?25h"), (b"\x1b[?1003h", b"\x1b[?1003l")):
        assert terminal.raw.rfind(off) > terminal.raw.rfind(on), off
