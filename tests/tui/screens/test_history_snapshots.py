"""Pictures of the History screen at three sizes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from state.history.store import History
from state.plan import CELL_NAMES, SIX, Plan
from state.run.records import Failure, Run
from state.settings import Settings
from tests.state.factories import run_of, with_advice
from tests.tui.scripted import MODEL_88MB, explorer, filled, settled
from tests.tui.test_snapshots import SIZES, same_everywhere
from tui.screens.history import HistoryScreen
from tui.widgets.run_table import RunTable

Snap = Callable[..., bool]
Act = Callable[[Pilot[None]], Awaitable[None]]

__all__ = ["same_everywhere"]  # a fixture


@pytest.fixture(autouse=True)
def one_time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """People see their own time."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def kept(number: int) -> Run:
    """Runs of every kind, in turn."""
    plan = Plan(methods=SIX if number % 3 else CELL_NAMES, repeats=1 + number % 3, storage="/mnt/nvme")
    if number % 5 == 0:
        plan = msgspec.structs.replace(plan, model="openlm-research/open_llama_3b_v2")
    measured = plan.methods if number != 19 else plan.methods[:2]
    times = {
        (m, op): [0.1 * (place + 1) * (1 + 0.05 * n) for n in range(plan.repeats)]
        for place, m in enumerate(measured)
        for op in ("save", "load")
    }
    run = run_of(plan, times)
    failure = Failure("killed (SIGKILL): out of memory, or by somebody's hand")
    records = tuple(
        msgspec.structs.replace(record, status="failed", result=None, failure=failure)
        if number == 20 and record.trial.method == "t5x"
        else record
        for record in run.records
    )
    return msgspec.structs.replace(
        with_advice(run, "Only the checkpoint's pages are dropped before a cold load."),
        run_id=f"202601{number:02}-120000-{number * 2311:04x}",
        created_at=f"2026-01-{number:02}T12:00:00+00:00",
        model=MODEL_88MB,
        records=records,
        status="cancelled" if number == 19 else "finished",
    )


@pytest.fixture
def history() -> None:
    """A month of runs."""
    with History() as history:
        for number in range(1, 24):
            history.keep(kept(number))
        history.name(kept(21).run_id, "before the move")
        history.set_baseline(kept(21).run_id)
        history.tag(kept(21).run_id, "nvme", "night")
        history.name(kept(17).run_id, "a rather long name for a run that somebody cared for")


def pressing(*keys: str) -> Act:
    """Open the history and press keys, and let what each starts come to its end."""

    async def act(pilot: Pilot[None]) -> None:
        await filled(pilot)
        for key in ("h", *keys):
            await pilot.press(key)
            screen = next(screen for screen in pilot.app.screen_stack if isinstance(screen, HistoryScreen))
            async with asyncio.timeout(60):
                while not drawn(screen):
                    await pilot.pause(0.02)
            for line in pilot.app.screen.query(Input):
                line.cursor_blink = False
        await steady(pilot)

    return act


async def steady(pilot: Pilot[None]) -> None:
    """Wait until what is drawn stays as it is."""
    before, now = "", pilot.app.export_screenshot()
    async with asyncio.timeout(60):
        while now != before:
            await settled(pilot)
            before, now = now, pilot.app.export_screenshot()


def drawn(screen: HistoryScreen) -> bool:
    """Whether the list is what is searched for, and the preview shows its highlighted run."""
    searched = screen.query_one("#search", Input).value
    with History() as history:
        found = history.runs(searched)
    table = screen.query_one(RunTable)
    shown = str(screen.query_one("#preview-pane").border_subtitle)
    if not found:
        return screen.has_class("-empty")
    return table.option_count == len(found) and table.current is not None and table.current.run_id in shown


STATES = {
    "runs": pressing(),
    "a-failure": pressing(*["down"] * 3),
    "marked": pressing("down", "space", "down", "space"),
    "found": pressing("slash", *"llama"),
    "not-found": pressing("slash", *"nonesuch"),
    "name": pressing("n"),
    "delete": pressing("down", "down", "d"),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", STATES)
def test_history(state: str, size: tuple[int, int], snap_compare: Snap, history: None) -> None:
    app, _ = explorer(Path())
    assert snap_compare(app, terminal_size=size, run_before=STATES[state])


@pytest.mark.parametrize("size", [(60, 16), *SIZES], ids=lambda size: f"{size[0]}x{size[1]}")
def test_empty_history(size: tuple[int, int], snap_compare: Snap) -> None:
    app, _ = explorer(Path())
    assert snap_compare(app, terminal_size=size, run_before=pressing())


def test_smallest_history(snap_compare: Snap, history: None) -> None:
    app, _ = explorer(Path())
    assert snap_compare(app, terminal_size=(60, 16), run_before=pressing())


def test_history_in_plain_characters(snap_compare: Snap, history: None) -> None:
    app, _ = explorer(Path(), settings=Settings(ascii=True))
    assert snap_compare(app, terminal_size=(120, 36), run_before=pressing("down", "space"))


def test_history_without_colours(snap_compare: Snap, history: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app, _ = explorer(Path())
    assert snap_compare(app, terminal_size=(120, 36), run_before=pressing("down", "space"))


def test_an_opened_run(snap_compare: Snap, history: None) -> None:
    async def act(pilot: Pilot[None]) -> None:
        await pressing("down", "down")(pilot)
        await pilot.press("enter")
        while isinstance(pilot.app.screen, HistoryScreen):
            await pilot.pause(0.02)
        await pilot.pause(0.1)

    app, _ = explorer(Path())
    assert snap_compare(app, terminal_size=(120, 36), run_before=act)
