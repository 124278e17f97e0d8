"""Textual's way to a terminal, for what terminals and shells also do."""

import os
import sys

from textual.drivers.linux_driver import LinuxDriver


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

    def start_application_mode(self) -> None:
        """Take the terminal."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._on = True

    def hang_up(self) -> None:
        """Draw no more: the terminal is gone, and a queue that nobody empties would stop the program."""
        self._is_gone = True

    def write(self, data: str) -> None:
        """Draw."""
        if not self._is_gone:
            super().write(data)

    def stop_application_mode(self) -> None:
        """Give it back."""
        self._on = False
        super().stop_application_mode()

    def suspend_application_mode(self) -> None:
        """Give it back for a while."""
        super().suspend_application_mode()
        self._suspended = True

    def _sigcont_application(self, *_: object) -> None:
        """Come back, when the event loop has a moment: what was interrupted may be drawing, and hold its locks."""
        self._loop.call_soon_threadsafe(self._come_back)

    def _come_back(self) -> None:
        """Take the terminal as it is now, and draw everything.

        After SIGSTOP, which nobody can catch, it was not given back in order: that comes first, since Textual's threads
        would be there twice otherwise, and the modes at the end those of our own screen.
        """
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
