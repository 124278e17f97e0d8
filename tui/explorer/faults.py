"""Faults of the program itself: the traceback goes to a log, and people get one sentence."""

import contextlib
import traceback
from pathlib import Path

from textual.app import ScreenError
from textual.command import CommandPalette
from textual.css.query import NoMatches
from textual.dom import DOMNode


def is_of_the_palette(error: BaseException) -> bool:
    """Whether an exception comes out of Textual's palette of commands, or out of a task that it has started.

    It goes on for a moment when it has been closed, and misses its own parts then.
    """
    frames = traceback.walk_tb(getattr(error, "error", error).__traceback__)
    return any(frame.f_globals.get("__name__") == CommandPalette.__module__ for frame, _ in frames)


def is_of_what_is_gone(error: BaseException) -> bool:
    """Whether a key or a message has reached a screen that is not filled yet, or not there any more.

    Whoever types quickly opens and closes a screen before it has its parts; Textual then finds none.
    """
    if isinstance(error, ScreenError):
        return True
    if not isinstance(error, NoMatches) or error.__traceback__ is None:
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    node = frame.f_locals.get("self")  # in which it was looked for
    return isinstance(node, DOMNode) and not node.children


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
