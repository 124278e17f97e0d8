"""A program in a pseudo-terminal, for benchmarks: start it, type, and know when its screen says something."""

import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from fcntl import ioctl

#: What stands between the letters of a screen: escape sequences.
_ESCAPES = re.compile(rb"\x1b(\[[0-9;?<>=]*[A-Za-z~]|\][^\x07]*\x07|[()][A-B0-2]|[=>78])")


def says(word: str) -> Callable[[str], bool]:
    """A condition for `PtyApp.wait_for`: the word is in the text."""
    return lambda text: word in text


class PtyApp:
    """A program in a terminal of 120x36.

    Args:
        command: The program and its arguments.
        environment: Its environment.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.start_s = time.perf_counter()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], list(command), dict(environment))
        ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        self.output = b""

    def send(self, keys: bytes) -> float:
        """Type, and tell when."""
        now_s = time.perf_counter()
        os.write(self._fd, keys)
        return now_s

    def read(self, timeout_s: float) -> bytes:
        """What the program writes next; nothing if it is silent for so long.

        Raises:
            EOFError: If it has ended.
        """
        if not select.select([self._fd], [], [], timeout_s)[0]:
            return b""
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:
            raise EOFError("the program has ended") from None
        self.output += data
        return data

    def wait_for(self, seen: Callable[[str], object], timeout_s: float = 120.0) -> float:
        """When the text written from now on first fulfils a condition.

        Raises:
            TimeoutError: If it does not.
        """
        written, deadline_s = b"", time.perf_counter() + timeout_s
        while time.perf_counter() < deadline_s:
            written += self.read(0.05)
            if written and seen(_ESCAPES.sub(b"", written).decode(errors="replace")):
                return time.perf_counter()
        raise TimeoutError(f"not in {timeout_s} s: {_ESCAPES.sub(b'', written)[-500:]!r}")

    def close(self) -> None:
        """Kill it and collect it."""
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self._fd)
