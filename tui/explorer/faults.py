"""Faults of the program itself: the traceback goes to a log, and people get one sentence."""

import contextlib
import traceback
from pathlib import Path
from types import FrameType

from textual.app import ScreenError
from textual.command import CommandPalette
from textual.css.query import NoMatches
from textual.dom import DOMNode, NoScreen
from textual.screen import Screen


def is_of_the_palette(error: BaseException) -> bool:
    """Whether an exception comes out of Textual's palette of commands, or out of a task that it has started.

    It goes on for a moment when it has been closed, and misses its own parts then.
    """
    return CommandPalette.__module__ in [frame.f_globals.get("__name__") for frame in _frames(error)]


def is_of_what_is_gone(error: BaseException) -> bool:
    """Whether an exception only says that what somebody typed, clicked or closed is not there, so that nobody needs it.

    Whoever is quick opens and closes a screen before it has its parts, or twice; and Textual passes a movement of the
    mouse on to what was under it a moment ago.
    """
    frames = _frames(error)
    called = [frame.f_code.co_name for frame in frames]
    error = getattr(error, "error", error)
    if isinstance(error, ScreenError):
        return "dismiss" in called
    if isinstance(error, NoMatches):
        node = frames[-1].f_locals.get("self") if frames else None  # in which a part was looked for
        return isinstance(node, DOMNode) and not _is_there(node)
    return "_forward_event" in called and Screen.__module__ in [frame.f_globals.get("__name__") for frame in frames]


def _is_there(node: DOMNode) -> bool:
    """Whether a node has its parts, on a screen that is filled and not closed."""
    try:
        screen = node.screen
    except NoScreen:
        return False
    return bool(node.children) and screen.is_mounted and screen in screen.app.screen_stack


def _frames(error: BaseException) -> list[FrameType]:
    """Where an exception came up, or that of a task that Textual runs."""
    return [frame for frame, _ in traceback.walk_tb(getattr(error, "error", error).__traceback__)]


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
