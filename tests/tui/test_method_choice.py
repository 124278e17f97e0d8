"""Choosing methods out of many: presets, search, and what cannot run here."""

from pathlib import Path

from textual.widgets import Static

from tests.tui.scripted import METHODS, explorer, opened
from tui.screens.presets import Presets


async def test_p_offers_the_groups_and_enter_selects_exactly_one(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app) as pilot:
        await pilot.press("c", "k", "p")
        assert isinstance(app.screen, Presets)
        await pilot.press("down", "enter")
        assert app.explorer.chosen == tuple(method for method in METHODS if method != "pytorch")
        assert "--methods cells" in str(app.main.query_one("#command", Static).content)


async def test_escape_leaves_the_selection_as_it_was(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app) as pilot:
        before = app.explorer
        await pilot.press("p", "down", "escape")
        assert app.screen is app.main
        assert app.explorer is before
