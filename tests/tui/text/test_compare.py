"""Two runs side by side: the lines, the screen, and its pictures."""

import re
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from state.analysis.comparison import compare
from state.history.noise_floor import Noise, noise_between
from state.plan import LIMIT, Plan
from state.run.records import Failure, Run
from state.settings import Settings
from tests.state.factories import ENVIRONMENT, run_of
from tests.tui.scripted import explorer, opened
from tests.tui.test_snapshots import SIZES, Snap, pressing
from tui.screens.compare import CompareScreen
from tui.text.compare import compare_lines, floor_lines
from tui.text.styled import for_screen

STEADY = [1.0, 1.02, 0.98, 1.01, 0.99]
FACTORS = {"pytorch": 1.2, "tensorstore": 0.5, "t5x": 1.0, LIMIT: 1.0}


def measured(*, later: bool, **environment: object) -> Run:
    """A run; the later one has other times by method."""
    plan = Plan(methods=("pytorch", "tensorstore", "t5x"), repeats=5, concurrency=64 if later else 128)
    times = {
        (method, operation): [(factor if later else 1.0) * s * (1 if operation == "save" else 0.5) for s in STEADY]
        for method, factor in FACTORS.items()
        for operation in ("save", "load")
    }
    run = run_of(plan, times)
    return msgspec.structs.replace(
        run,
        run_id=f"2026010{2 if later else 1}-120000-abcd",
        environment=msgspec.structs.replace(ENVIRONMENT, **environment),
    )


BEFORE, AFTER = measured(later=False), measured(later=True, libraries={"torch": "2.13.0"})


def shown(before: Run = BEFORE, after: Run = AFTER, floor: Noise | None = None) -> str:
    return for_screen([*compare_lines(before, after, compare(before, after)), *floor_lines(floor)]).plain


def test_changes_are_counted_and_each_has_times_and_a_verdict() -> None:
    lines = shown().splitlines()
    assert lines[0] == "2 slower, 2 faster, 2 no difference shown"
    (pytorch,) = (line for line in lines if line.startswith("pytorch save"))
    assert "1.00" in pytorch
    assert "1.20" in pytorch
    assert re.search(r"  x1\.20 \(1\.\d\d–1\.\d\d\) +slower$", pytorch)
    (limit,) = (line for line in lines if line.startswith("plain file save"))
    assert re.search(r"  x1\.00 \(0\.\d+–1\.\d+\) +no difference shown$", limit)
    assert all(len(line) <= 78 for line in lines[1:-1])


def test_two_runs_without_any_result_have_nothing_to_compare() -> None:
    nothing = run_of(Plan(methods=("pytorch",)), {})
    assert shown(nothing, nothing).splitlines()[0] == "nothing to compare"


def test_models_that_differ_are_said_to_instead_of_a_figure() -> None:
    assert BEFORE.model is not None
    twice = msgspec.structs.replace(BEFORE.model, tensors=(*BEFORE.model.tensors, *BEFORE.model.tensors))
    page = shown(BEFORE, msgspec.structs.replace(AFTER, model=twice))
    assert page.count("the models differ (1.00 MB, 2.00 MB); --across compares them") == 8
    assert "±" not in page


def test_what_else_differs_is_named_and_nothing_is_said_of_what_does_not() -> None:
    assert "concurrency  128 -> 64" in shown()
    assert "torch        none -> 2.13.0" in shown()
    assert "Plan, model and machine are the same." in shown(BEFORE, BEFORE)


def test_what_came_back_wrong_is_told_below_the_table() -> None:
    records = tuple(
        msgspec.structs.replace(r, status="failed", result=None, failure=Failure("other\nbits\x1b[2J"))
        if (r.trial.method, r.trial.operation, r.trial.round) == ("t5x", "load", 2)
        else r
        for r in AFTER.records
    )
    page = shown(BEFORE, msgspec.structs.replace(AFTER, records=records))
    assert "\nt5x load failed in B in 1 of 5 rounds and was not verified: other bits[2J.\n" in page
    assert "failed" not in shown()


def test_the_noise_between_equal_runs_is_told_where_it_is_known() -> None:
    assert "The intervals allow for 2% of noise between runs, assumed." in shown()
    floor = noise_between([(BEFORE, BEFORE)] * 4)
    assert "4 pairs of equal runs, 24 comparisons: 24 no difference shown." in shown(floor=floor)
    assert "in one of twenty" in shown(floor=floor)
    assert "at most" in shown(floor=noise_between([(BEFORE, BEFORE)]))


async def test_s_swaps_y_copies_and_escape_goes_back(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app) as pilot:
        await app.push_screen(CompareScreen(BEFORE, AFTER, None, ascii_only=False))
        await pilot.pause()

        def text() -> str:
            return str(app.screen.query_one("#compare", Static).content)

        assert "x1.20 (" in text()
        await pilot.press("s")
        assert "x0.833 (" in text()
        await pilot.press("y")
        assert app.clipboard == text()
        await pilot.press("escape")
        assert app.screen is app.main


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_pictures(size: tuple[int, int], snap_compare: Snap, storage: Path) -> None:
    app, _ = explorer(storage)

    async def act(pilot: Pilot[None]) -> None:
        await pressing()(pilot)
        await app.push_screen(CompareScreen(BEFORE, AFTER, noise_between([(BEFORE, BEFORE)] * 2), ascii_only=False))
        await pressing()(pilot)

    assert snap_compare(app, terminal_size=size, run_before=act)


def test_picture_in_plain_characters(snap_compare: Snap, storage: Path) -> None:
    app, _ = explorer(storage, settings=Settings(ascii=True))

    async def act(pilot: Pilot[None]) -> None:
        await pressing()(pilot)
        await app.push_screen(CompareScreen(BEFORE, AFTER, None, ascii_only=True))
        await pressing()(pilot)

    assert snap_compare(app, terminal_size=(80, 24), run_before=act)
