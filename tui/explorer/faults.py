"""Faults of the program itself: the traceback goes to a log, and people get one sentence."""

import contextlib
import traceback
from pathlib import Path

from textual.app import ScreenError
from textual.command import CommandPalette
from textual.css.query import NoMatches
from textual.dom import DOMNode
from textual.screen import Screen


def is_harmless(error: BaseException) -> bool:
    """Whether an exception only says that what somebody typed, clicked or closed is gone, so that nobody needs it.

    Whoever is quick opens and closes a screen before it has its parts; Textual then finds none, and its own code is not
    ready for that: in its palette of commands, which goes on for a moment when it has been closed, and where it passes
    a movement of the mouse on to what was under it.
    """
    error = getattr(error, "error", error)  # of a task that Textual runs
    if isinstance(error, ScreenError):
        return True
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [frame.f_globals.get("__name__") for frame in frames]
    if CommandPalette.__module__ in modules:
        return True
    if Screen.__module__ in modules and "_forward_event" in [frame.f_code.co_name for frame in frames]:
        return True
    node = frames[-1].f_locals.get("self") if frames else None  # in which a part was looked for
    return isinstance(error, NoMatches) and isinstance(node, DOMNode) and not node.children


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
