"""Choosing methods out of many: presets, search, and what cannot run here."""

from pathlib import Path

import pytest
from textual.widgets import Static

from backends.methods import registry
from backends.methods.entries import MethodEntry
from tests.tui.scripted import METHODS, explorer, opened
from tui.explorer.app import ExplorerApp
from tui.screens.presets import Presets
from tui.widgets.method_table import MethodTable


def highlighted(app: ExplorerApp) -> str | None:
    """The method that keys act upon."""
    return app.main.current.method if app.main.current is not None else None


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


async def test_a_search_narrows_the_table_and_changes_nothing_else(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app) as pilot:
        before = app.explorer
        table, pane = app.main.query_one(MethodTable), app.main.query_one("#methods-pane")
        await pilot.press("slash", *"TENSOR chunks")
        await pilot.pause()
        assert pane.border_title == "Methods · 4 of 9 shown"
        await pilot.press("enter", "down")
        assert app.focused is table
        assert highlighted(app) == "ts+chunks"
        assert app.explorer is before
        await pilot.press("slash", *"nonesuch")
        await pilot.pause()
        assert highlighted(app) is None
        await pilot.press("space", "escape")
        await pilot.pause()
        assert pane.border_title == "Methods"
        assert table.option_count == 9
        assert app.explorer is before


async def test_a_method_whose_package_is_missing_says_so_and_cannot_be_selected(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = MethodEntry("t5x", "x:Mine", "not here", requires=("no_such_library",), install="ckpt-tui[x]")
    monkeypatch.setitem(registry._OWN, "t5x", entry)
    app, _ = explorer(storage, methods=("pytorch",))
    async with opened(app) as pilot:
        table = app.main.query_one(MethodTable)
        table.highlight("t5x")
        assert "needs no_such_library" in str(table.get_option_at_index(2).prompt)
        await pilot.press("space")
        assert "t5x" not in app.explorer.chosen
        assert any("pip install 'ckpt-tui[x]'" in notice.message for notice in app._notifications)
