"""The screen that says which switch did what, by keyboard alone."""

from pathlib import Path

from textual.widgets import Static

from state.plan import CELL_NAMES, SIX
from state.settings import Settings
from tests.tui.scripted import explorer, held_in, opened, settled
from tui.explorer.app import ExplorerApp
from tui.screens.why import WhyScreen
from tui.widgets.live_strip import LiveStrip

MISSING = tuple(name for name in CELL_NAMES if name not in SIX)


def text(app: ExplorerApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).content)


async def test_r_measures_the_missing_cells_and_the_page_follows(storage: Path) -> None:
    app, launcher = explorer(storage, repeats=3)
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        await pilot.press("w")
        await settled(pilot)
        assert isinstance(app.screen, WhyScreen)
        assert f"3 of 8 cells are missing: {', '.join(MISSING)}. r measures them." == text(app, "#why-missing")
        assert "From tensorstore to t5x" not in text(app, "#why-first")
        await pilot.press("r")
        await settled(pilot)
        assert [request.plan.methods for request in launcher.requests] == [SIX, MISSING]
        assert text(app, "#why-said").startswith("Fastest: ts+concurrency+chunks.")
        assert "From tensorstore to t5x" in text(app, "#why-first")
        assert "≈ from several runs" in text(app, "#why-first"), "the eight cells come from two runs"
        assert not app.screen.query_one("#why-missing").display
        await pilot.press("r")
        await settled(pilot)
        assert launcher.requests[-1].plan.methods == CELL_NAMES, "nothing is missing, so all are measured again"
        assert "≈" not in text(app, "#why-first")


async def test_v_goes_through_the_measures_and_escape_back(storage: Path) -> None:
    app, _ = explorer(storage, repeats=3, methods=CELL_NAMES)
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        await pilot.press("w")
        await settled(pilot)
        seen = []
        for _ in range(4):
            seen.append(text(app, "#why-first").splitlines()[0])
            await pilot.press("v")
        assert [line.split("  ")[1] for line in seen] == [
            "save time, s",
            "load time, s",
            "size on disk",
            "save time, s",
        ]
        await pilot.press("escape")
        assert app.screen is app.main


async def test_a_run_can_be_watched_and_stopped_from_here(storage: Path) -> None:
    app, launcher = explorer(storage, held_in(2), repeats=1)
    async with opened(app) as pilot:
        await pilot.press("w")
        await settled(pilot)
        assert "Nothing is measured" in text(app, "#why-said")
        assert "r measures all 8 cells." in text(app, "#why-missing")
        await pilot.press("r")
        await settled(pilot)
        assert launcher.requests[0].plan.methods == CELL_NAMES
        assert "62%" in text(app, "#live") or "to go" in str(app.screen.query_one(LiveStrip).content)
        assert "A run goes on." in text(app, "#why-missing")
        await pilot.press("x")
        await settled(pilot)
        assert not app.explorer.running


async def test_y_copies_all_three_measures_and_other_keys_follow_the_settings(storage: Path) -> None:
    app, _ = explorer(storage, repeats=3, methods=CELL_NAMES, settings=Settings(keys={"run": "f5", "why": "f6"}))
    async with opened(app) as pilot:
        await pilot.press("f5")
        await settled(pilot)
        await pilot.press("f6")
        await settled(pilot)
        await pilot.press("y")
        assert app.clipboard.count("The eight cells") == 3
        before = app.explorer.session.run
        await pilot.press("r")
        await settled(pilot)
        assert app.explorer.session.run is before, "r is no key any more"
        await pilot.press("f5")
        await settled(pilot)
        assert app.explorer.session.run is not before


async def test_two_measures_stand_side_by_side_where_there_is_room(storage: Path) -> None:
    app, _ = explorer(storage, repeats=3, methods=CELL_NAMES)
    async with opened(app, size=(200, 60)) as pilot:
        await pilot.press("r")
        await settled(pilot)
        await pilot.press("w")
        await settled(pilot)
        assert "save time" in text(app, "#why-first")
        assert "load time" in text(app, "#why-second")
        await pilot.resize_terminal(80, 24)
        await settled(pilot)
        assert not app.screen.query_one("#why-second").is_on_screen
        assert all(len(line) <= 80 for line in text(app, "#why-first").splitlines())
