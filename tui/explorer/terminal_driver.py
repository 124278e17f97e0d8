"""Textual's way to a terminal, for what terminals and shells also do."""

import asyncio
import contextlib
import os
import select
import signal
import sys
from typing import Any, Final, TextIO, cast

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

#: How often to look whether the terminal is still there.
_LOOK_S: Final = 1.0
#: How long to listen for a signal to end before the terminal is asked for from the background.
_LISTEN_S: Final = 1.0


class _Terminal:
    """What is drawn on, which may go away: Textual's thread that writes would end then, and its queue fill up."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()


class TerminalDriver(LinuxDriver):
    """Knows the size of a window that has none, and comes back whoever stopped the program.

    The window's own size counts, whatever COLUMNS and LINES say. Windows without a size, of `script` in a pipeline, of
    `docker run -t` or of `ssh -tt`, are taken as 80 by 24; some get one later. Textual asks in two ways, which then
    disagree about the number of lines: each answer would undo the other's layout, for ever.
    """

    _on = False
    _suspended = False
    #: Whether the console was told a size, which it does not ask for any more.
    _told = False
    _is_gone = False
    _is_to_stop = False
    _is_left = False
    _watching: asyncio.TimerHandle | None = None

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        self._file = cast(Any, _Terminal(cast(TextIO, self._file)))
        # Python would run two handlers by their numbers, and what came last counts here.
        self._loop.add_signal_handler(signal.SIGTSTP, self._go)
        self._loop.add_signal_handler(signal.SIGCONT, self._continue)

    def start_application_mode(self) -> None:
        """Take the terminal."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        # Textual gives up where the terminal belongs to others now.
        self._on = self._writer_thread is not None and self._writer_thread.is_alive()
        self._suspended = not self._on
        if self._watching is None:
            self._watch()

    def _watch(self) -> None:
        """A terminal that does not control this process, as after `setsid`, goes without a signal."""
        poll = select.poll()
        poll.register(self.fileno, 0)
        if any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0)):
            os.kill(os.getpid(), signal.SIGHUP)
        else:
            self._watching = self._loop.call_later(_LOOK_S, self._watch)

    def run_input_thread(self) -> None:
        """Take what is typed. A terminal that belongs to others for a moment gives an error; one that is gone, too.

        Bytes may be no UTF-8, or half of a character when it is given back; Textual would end the program for that.
        """
        while not self._is_gone:
            try:
                super().run_input_thread()
                return
            except UnicodeDecodeError:
                if self.exit_event.is_set():
                    return
            except OSError:
                if self.exit_event.wait(_LOOK_S):
                    return

    def hang_up(self) -> None:
        """Draw no more: the terminal is gone."""
        self.leave()
        self._is_gone = True
        if self._watching is not None:
            self._watching.cancel()

    def leave(self) -> None:
        """Take the terminal no more, and be stopped by none that belongs to others now."""
        self._is_left = True
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)

    def write(self, data: str) -> None:
        """Draw, unless nobody takes it: a queue that is not emptied fills up, and whoever puts more into it waits."""
        if not (self._is_gone or self._suspended):
            super().write(data)

    def disable_input(self) -> None:
        """Listen no more."""
        if not self._suspended:
            super().disable_input()

    def stop_application_mode(self) -> None:
        """Give it back; for good, unless it is for a while."""
        self._on = False
        if not self._suspended:  # it was given back, and others have set it up for themselves
            super().stop_application_mode()

    def suspend_application_mode(self) -> None:
        """Give it back for a while, if it was taken."""
        if self._on:
            super().suspend_application_mode()
            self._suspended = True

    def _go(self) -> None:
        self._is_to_stop = True
        self.suspend_application_mode()
        self._loop.call_soon(self._stop)  # after what has come in meanwhile

    def _stop(self) -> None:
        if self._is_to_stop:
            self._is_to_stop = False
            os.kill(os.getpid(), signal.SIGSTOP)

    def _continue(self) -> None:
        """Come back, unless what came together with it says otherwise.

        `kill %1` of a shell sends SIGTERM and then this, and two threads may take them in the other order. Whoever asks
        for the terminal from the background is stopped once more, and would never hear the first.
        """
        self._is_to_stop = False
        self._loop.call_later(0 if self._is_in_front() else _LISTEN_S, self._come_back)

    def _is_in_front(self) -> bool:
        """Whether the terminal is ours to take."""
        try:
            return os.tcgetpgrp(self.fileno) == os.getpgrp()
        except OSError:  # it does not control this process: there is no background
            return True

    def _come_back(self) -> None:
        """Take the terminal as it is now, and draw everything.

        After SIGSTOP, which nobody can catch, it was not given back in order: that comes first, since Textual's threads
        would be there twice otherwise, and the modes at the end those of our own screen.
        """
        if self._is_left:
            return
        if self._on:
            self.suspend_application_mode()
        if self._suspended:
            self._suspended = False
            self._must_signal_resume = True
            self.resume_application_mode()

    def _get_terminal_size(self) -> tuple[int, int]:
        try:
            columns, lines = os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1)
        except (OSError, ValueError):
            columns, lines = 0, 0
        size = columns or 80, lines or 24
        self._told = self._told or 0 in (columns, lines)
        if self._told:
            self._app.console.size = size
        return size
