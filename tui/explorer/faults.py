"""Faults of the program itself: the traceback goes to a log, and people get one sentence."""

import contextlib
import traceback
from pathlib import Path

from textual.command import CommandPalette


def is_of_the_palette(error: BaseException) -> bool:
    """Whether an exception comes out of Textual's palette of commands, or out of a task that it has started.

    It goes on for a moment when it has been closed, and misses its own parts then.
    """
    frames = traceback.walk_tb(getattr(error, "error", error).__traceback__)
    return any(frame.f_globals.get("__name__") == CommandPalette.__module__ for frame, _ in frames)


def note(error: BaseException | None, log: Path) -> None:
    """Append the traceback to a log, if that can be written."""
    with contextlib.suppress(OSError), log.open("a") as file:
        traceback.print_exception(error, file=file)


def sentence(error: BaseException | None, log: Path) -> str:
    """What people are told when the program ends because of an error.

    Args:
        error: What came up.
        log: Where its traceback stands.
    """
    from backends.process.failures import lack_of_the_process

    lack = lack_of_the_process(error) if error is not None else None
    words = f"{lack.what}: {lack.do}" if lack else f"a fault of its own, please report it: see {log}"
    return f"ckpt-tui: {words}."
