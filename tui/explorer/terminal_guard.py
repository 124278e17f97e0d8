"""A terminal that is left as it was found, even by `kill -9`: a small process that waits for the explorer's end.

Whoever is killed cannot tidy up. So before the explorer takes the terminal, it forks a guard, which holds the other
end of a pipe. If the pipe ends without a farewell, the guard gives the terminal its modes and its screen back.
"""

import contextlib
import os
import signal
import sys
import termios
from collections.abc import Iterator

_FAREWELL = b"."
#: No mouse reports, no pasted brackets, no focus events, plain keys, the main screen, a visible cursor, no colours, and
#: lines that wrap.
_RESET = (
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l\x1b[?2026l\x1b[?2004l\x1b[?1004l\x1b[?2048l\x1b[<u"
    b"\x1b[?1049l\x1b[?25h\x1b[0m\x1b[?7h"
)

#: What is sent to all that a terminal has started, and what a terminal that others have now says to whoever writes.
_UNHEARD = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTOU, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def guarded_terminal(epitaph: str) -> Iterator[None]:
    """Guard the terminal while the body runs.

    Args:
        epitaph: What to tell people if it is killed.
    """
    terminal_fd = sys.stdin.fileno()
    try:
        modes = termios.tcgetattr(terminal_fd)
    except termios.error:  # no terminal, nothing to guard
        yield
        return
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(write_fd)
            for number in _UNHEARD:
                signal.signal(number, signal.SIG_IGN)
            if os.read(read_fd, 1) != _FAREWELL:
                os.write(sys.stderr.fileno(), _RESET + f"\r\nckpt-tui: {epitaph}\r\n".encode())
                termios.tcsetattr(terminal_fd, termios.TCSANOW, modes)
        finally:
            os._exit(0)
    os.close(read_fd)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.write(write_fd, _FAREWELL)
        os.close(write_fd)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGCONT)  # it was stopped together with us, and perhaps nobody has let it go on
            os.waitpid(pid, 0)
