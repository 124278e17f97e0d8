"""What comes up where nobody needs it, and what is a fault."""

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.app import ScreenStackError
from textual.css.query import NoMatches
from textual.events import MouseMove
from textual.screen import Screen
from textual.widgets import Input, OptionList
from textual.worker import WorkerFailed

from tests.tui.scripted import explorer, opened
from tui.explorer.faults import is_of_what_is_gone
from tui.screens.history import HistoryScreen
from tui.text.glyphs import BLOCKS
from tui.widgets.line_list import LineList


def raised(kind: type[Exception], look: Callable[[], object]) -> Exception:
    with pytest.raises(kind) as caught:
        look()
    return caught.value


async def test_a_key_for_a_screen_that_is_not_filled_yet_is_no_fault(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app) as pilot:
        unfilled = HistoryScreen(app._keeper, BLOCKS, "r", ascii_only=False)
        error = raised(NoMatches, unfilled.action_back)
        assert is_of_what_is_gone(error)
        assert is_of_what_is_gone(WorkerFailed(error)), "in a task, too"
        assert is_of_what_is_gone(raised(ScreenStackError, app.main.dismiss)), "nothing is left to close"
        app._handle_exception(error)
        await pilot.press("question_mark")
        assert app.is_running
        assert "NoMatches" in app._steering.log.read_text()


async def test_a_mouse_over_what_is_gone_is_no_fault(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app):
        move = MouseMove(None, 1, 1, 0, 0, 0, False, False, False, screen_x=1, screen_y=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Screen, "get_hover_widgets_at", gone)
            patch.setattr(Screen, "get_widget_at", gone)
            error = raised(AttributeError, lambda: app.main._forward_event(move))
        assert is_of_what_is_gone(error)


def gone(*_: object) -> None:
    raise AttributeError("'NoneType' object has no attribute 'region'")


async def test_a_part_that_is_missing_on_a_screen_that_is_being_filled_or_was_closed_is_no_fault(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app):
        harmless: list[bool] = []

        class Early(HistoryScreen):
            def on_mount(self) -> None:
                harmless.append(is_of_what_is_gone(raised(NoMatches, lambda: self.query_one("#nonesuch", Input))))

        await app.push_screen(early := Early(app._keeper, BLOCKS, "r", ascii_only=False))
        assert early.children
        await app.pop_screen()
        harmless.append(is_of_what_is_gone(raised(NoMatches, lambda: early.query_one("#nonesuch", Input))))
        assert harmless == [True, True]


async def test_a_part_that_is_missing_on_a_filled_screen_is_a_fault(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app):
        assert not is_of_what_is_gone(raised(NoMatches, lambda: app.main.query_one("#nonesuch", Input)))
        assert not is_of_what_is_gone(ValueError("wrong"))


@pytest.mark.parametrize("action", ["page_up", "page_down"])
def test_a_list_that_has_no_lines_yet_may_be_paged(action: str) -> None:
    with pytest.raises(KeyError):
        getattr(OptionList("a", "b"), f"action_{action}")()
    getattr(LineList("a", "b"), f"action_{action}")()
