"""Every key and flow of the History screen, with a history on a real disk."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, Static

from state.export.files import write_export
from state.export.json import read_export
from state.history.entry import RunEntry
from state.history.store import History
from state.paths import data_folder
from state.plan import SIX, Plan
from state.run.environment import FileSystem
from state.run.records import Failure, Run
from state.settings import Settings
from tests.state.factories import ENVIRONMENT, run_of
from tests.tui.scripted import explorer, held_in, opened, settled
from tui.explorer.app import ExplorerApp
from tui.screens.ask import Ask
from tui.screens.compare import CompareScreen
from tui.screens.explore import ExploreScreen
from tui.screens.export import Export
from tui.screens.history import HistoryScreen
from tui.screens.question import Question
from tui.screens.text import TextPage
from tui.text.glyphs import ASCII, BLOCKS
from tui.text.preview import preview
from tui.text.run_columns import columns_for, heading, line
from tui.widgets.checkbox import Tick
from tui.widgets.run_table import RunTable


def kept(number: int, **plan: object) -> Run:
    """A finished run of the day that is its number."""
    wanted = msgspec.convert({"methods": ("tensorstore", "t5x"), "repeats": 2} | plan, Plan)
    times = {(m, op): [1.0 * number, 2.0 * number] for m in wanted.methods for op in ("save", "load")}
    run_id = f"2026010{number}-120000-{number:04x}"
    created_at = f"2026-01-0{number}T12:00:00+00:00"
    return msgspec.structs.replace(run_of(wanted, times), run_id=run_id, created_at=created_at)


RUNS = (kept(1), kept(2, model="gpt2", methods=("pytorch",), storage="/mnt/gone"), kept(3))


@pytest.fixture
def history() -> None:
    """Three runs."""
    with History() as history:
        for run in RUNS:
            history.keep(run)


def entries() -> tuple[RunEntry, ...]:
    """What the history holds."""
    with History() as history:
        return history.runs()


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Let threads come to their end."""
    for _ in range(200):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it never came true")


async def open_history(pilot: Pilot[None]) -> HistoryScreen:
    """Press h, and wait for the list."""
    await pilot.press("h")
    screen = pilot.app.screen
    assert isinstance(screen, HistoryScreen)
    await until(pilot, lambda: screen.has_class("-empty") or current(screen))
    return screen


def shows(app: ExplorerApp, kind: type[Screen[Any]]) -> bool:
    """Whether a screen of this kind is on top."""
    return isinstance(app.screen, kind)


def current(screen: HistoryScreen) -> RunEntry | None:
    """The highlighted run."""
    return screen.query_one(RunTable).current


def listed(screen: HistoryScreen) -> list[str]:
    """The lines of the list."""
    table = screen.query_one(RunTable)
    return [str(table.get_option_at_index(number).prompt) for number in range(table.option_count)]


def text(screen: HistoryScreen, selector: str) -> str:
    """What a static widget says."""
    return str(screen.query_one(selector, Static).content)


def app_of(storage: Path, *, ascii_only: bool = False) -> ExplorerApp:
    """An explorer."""
    return explorer(storage, repeats=1, settings=Settings(ascii=ascii_only))[0]


async def test_runs_are_listed_newest_first_and_the_highlighted_one_is_previewed(storage: Path, history: None) -> None:
    app = app_of(storage)
    async with opened(app) as pilot:
        screen = await open_history(pilot)
        assert [row.split()[0] for row in listed(screen)] == [run.run_id for run in reversed(RUNS)]
        assert "3 runs" in text(screen, "#title")
        await until(pilot, lambda: "4.50" in text(screen, "#preview"))
        await pilot.press("down")
        await until(pilot, lambda: "pytorch" in text(screen, "#preview"))
        assert "tensorstore" not in text(screen, "#preview")
        assert str(screen.query_one("#preview-pane").border_subtitle) == f"{RUNS[1].run_id} on here"
        await pilot.press("escape")
        assert shows(app, ExploreScreen)


@pytest.mark.parametrize("key", ["escape", "q", "h"])
async def test_an_empty_history_says_what_to_do(key: str, storage: Path) -> None:
    app = app_of(storage)
    async with opened(app) as pilot:
        screen = await open_history(pilot)
        assert "No runs yet" in text(screen, "#nothing")
        await pilot.press("space", "n", "t", "b", "e", "d", "enter", "equals_sign")
        assert app.screen is screen, "there is nothing to do it with"
        await pilot.press("i")
        assert shows(app, Ask)
        await pilot.press("escape", key)
        assert shows(app, ExploreScreen)


async def test_a_search_narrows_the_list_as_it_is_written(storage: Path, history: None) -> None:
    app = app_of(storage)
    async with opened(app) as pilot:
        screen = await open_history(pilot)
        await pilot.press("slash", *"gpt2 q")
        await until(pilot, lambda: screen.has_class("-empty"))
        assert "No run has all of these words: gpt2 q" in text(screen, "#nothing")
        await pilot.press("backspace")
        await until(pilot, lambda: len(listed(screen)) == 1)
        assert "1 run found" in text(screen, "#title")
        await pilot.press("down")
        assert screen.focused is screen.query_one(RunTable)
        await pilot.press("slash", "escape")
        assert app.screen is screen, "escape goes back to the list first"
        assert len(listed(screen)) == 1
        await pilot.press("escape")
        assert shows(app, ExploreScreen)


async def test_enter_opens_a_run_with_its_setup_and_rows_though_its_folder_is_gone(
    storage: Path, history: None
) -> None:
    app = app_of(storage)
    async with opened(app) as pilot:
        await open_history(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: shows(app, ExploreScreen))
        assert app.explorer.plan == RUNS[1].plan
        assert app.explorer.shown is not None
        assert app.explorer.shown.run_id == RUNS[1].run_id
        assert "/mnt/gone (not here)" in str(app.main.query_one("#title", Static).content)
        await pilot.press("r")
        await until(pilot, lambda: shows(app, Question))  # measuring there is refused


async def test_a_run_that_goes_on_is_not_replaced_but_the_history_can_be_looked_at(
    storage: Path, history: None
) -> None:
    app, launcher = explorer(storage, held_in(4), repeats=1)
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        screen = await open_history(pilot)
        await until(pilot, lambda: "4/14 running" in listed(screen)[0])
        run = app.explorer.session.run
        await pilot.press("down", "enter")
        await settled(pilot)
        assert app.screen is screen
        assert app.explorer.session.run is run
        await pilot.press("up", "d", "y")
        await settled(pilot)
        assert len(entries()) == 4, "it still goes on"
        launcher.gate.set()
        await until(pilot, lambda: "✓ 14/14" in listed(screen)[0])


async def test_methods_that_are_not_installed_are_told(storage: Path) -> None:
    with History() as history:
        history.keep(kept(1, methods=("pytorch", "of-a-plugin")))
    app = app_of(storage)
    async with opened(app) as pilot:
        await open_history(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: shows(app, ExploreScreen))
        assert any("of-a-plugin" in str(note.message) for note in app._notifications)
        assert app.explorer.chosen == ("pytorch",)


async def test_a_name_is_given_refused_beside_the_line_and_taken_away(storage: Path, history: None) -> None:
    app = app_of(storage)
    async with opened(app) as pilot:
        screen = await open_history(pilot)
        await pilot.press("n", *"night", "enter")
        await until(pilot, lambda: "night" in listed(screen)[0])
        await pilot.press("down", "n", *"night", "enter")
        dialog = app.screen
        assert isinstance(dialog, Ask)
        await until(pilot, lambda: "'night' is the run" in str(dialog.query_one("#outcome", Static).content))
        await pilot.press(*"2", "enter")
        await until(pilot, lambda: "night2" in listed(screen)[1])
        await pilot.press("n", *["backspace"] * 6, "enter")
        await until(pilot, lambda: entries()[1].name == "")
        assert entries()[0].name == "night"


async def test_tags_are_edited_as_a_whole(storage: Path, history: None) -> None:
    app = app_of(storage)
    async with opened(app, (160, 40)) as pilot:
        screen = await open_history(pilot)
        await pilot.press("t", *"nvme, night", "enter")
        await until(pilot, lambda: "night nvme" in listed(screen)[0])
        await pilot.press("t")
        line = app.screen.query_one(Input)
        assert line.value == "night nvme"
        line.value = "nvme -x"
        await pilot.press("enter")
        await until(pilot, lambda: "is no tag" in str(app.screen.query_one("#outcome", Static).content))
        line.value = "nvme quiet"
        await pilot.press("enter")
        await until(pilot, lambda: entries()[0].tags == ("nvme", "quiet"))


async def test_b_makes_a_run_the_baseline_and_again_no_longer(storage: Path, history: None) -> None:
    app = app_of(storage)
    async with opened(app) as pilot:
        screen = await open_history(pilot)
        await pilot.press("b")
        await until(pilot, lambda: "★" in listed(screen)[0])
        assert f"baseline {RUNS[2].run_id}" in text(screen, "#title")
        await pilot.press("down", "b")
        await until(pilot, lambda: "★" in listed(screen)[1] and "★" not in listed(screen)[0])
        await pilot.press("b")
        await until(pilot, lambda: "★" not in listed(screen)[1])


async def test_the_two_marked_or_the_baseline_and_the_highlighted_are_compared(storage: Path, history: None) -> None:
    app = app_of(storage)

    def compared() -> list[str]:
        """The ids of A and B on the screen."""
        if not isinstance(app.screen, CompareScreen):
            return []
        shown = str(app.screen.query_one("#compare", Static).content).splitlines()
        return [line.split()[1] for line in shown if line.startswith(("A  ", "B  "))]

    async with opened(app) as pilot:
        screen = await open_history(pilot)
        await pilot.press("equals_sign", "b")
        await until(pilot, lambda: "★" in listed(screen)[0])
        await pilot.press("equals_sign")
        await settled(pilot)
        assert app.screen is screen
        await pilot.press("down", "equals_sign")
        await until(pilot, compared)
        assert compared() == [RUNS[2].run_id, RUNS[1].run_id]
        await pilot.press("s")
        assert compared() == [RUNS[1].run_id, RUNS[2].run_id]
        await pilot.press("escape", "space", "equals_sign")
        await settled(pilot)
        assert app.screen is screen, "one mark is not two"
        await pilot.press("slash", *"0001", "down")
        await until(pilot, lambda: len(listed(screen)) == 1)
        await pilot.press("space", "equals_sign")
        await until(pilot, compared)
        assert compared() == [RUNS[0].run_id, RUNS[1].run_id], "a search loses no mark, and the older one is A"
        await pilot.press("escape")
        assert "2 marked" in text(screen, "#title")


async def test_d_deletes_after_asking_and_enter_keeps(storage: Path, history: None) -> None:
    app = app_of(storage)
    async with opened(app) as pilot:
        screen = await open_history(pilot)
        await pilot.press("d")
        assert shows(app, Question)
        await pilot.press("enter")
        await settled(pilot)
        assert len(entries()) == 3
        await pilot.press("down", "d", "y")
        await until(pilot, lambda: len(listed(screen)) == 2)
        assert current(screen) is not None
        assert [entry.run_id for entry in entries()] == [RUNS[2].run_id, RUNS[0].run_id]
        await pilot.press("home", "space", "end", "space", "d")
        assert "Delete 2 runs?" in str(app.screen.query_one(".box").border_title)
        await pilot.press("y")
        await until(pilot, lambda: screen.has_class("-empty"))
        assert entries() == ()


async def test_i_takes_in_a_file_and_says_what_is_wrong_with_another(
    storage: Path, history: None, tmp_path: Path
) -> None:
    write_export(kept(4), tmp_path / "new.json")
    write_export(kept(4), tmp_path / "new.csv")
    app = app_of(storage)
    async with opened(app) as pilot:
        screen = await open_history(pilot)
        await pilot.press("i")
        dialog = app.screen
        for path, part in (
            (tmp_path / "gone.json", "No such file"),
            (tmp_path / "new.csv", "holds no run"),
            ("~nobody-of-this-name/x.json", "names a user who is not here"),
        ):
            dialog.query_one(Input).value = str(path)
            await pilot.press("enter")
            outcome = dialog.query_one("#outcome", Static)
            while part not in str(outcome.content):
                await pilot.pause(0.02)
        dialog.query_one(Input).value = str(tmp_path / "new.json")
        await pilot.press("enter")
        await until(pilot, lambda: len(listed(screen)) == 4)
        await pilot.press("i")
        app.screen.query_one(Input).value = str(tmp_path / "new.json")
        await pilot.press("enter")
        await until(pilot, lambda: "already" in str(app.screen.query_one("#outcome", Static).content))


async def test_e_exports_the_highlighted_run(storage: Path, history: None, tmp_path: Path) -> None:
    app = app_of(storage)
    async with opened(app) as pilot:
        await open_history(pilot)
        await pilot.press("down", "e")
        await until(pilot, lambda: shows(app, Export))
        app.screen.query_one("#folder", Input).value = str(tmp_path)
        app.screen.query_one("#stem", Input).value = "run"
        app.screen.query_one("#kind-4", Tick).toggle()
        await pilot.pause()
        app.screen.query_one("#write").focus()
        await pilot.press("enter")
        await until(pilot, (tmp_path / "run.json").exists)
        assert read_export(tmp_path / "run.json") == RUNS[1]


async def test_what_another_process_writes_appears(storage: Path, history: None) -> None:
    app = app_of(storage)
    async with opened(app) as pilot:
        screen = await open_history(pilot)
        await pilot.press("down")
        with History() as other:
            other.keep(kept(4))
        await until(pilot, lambda: len(listed(screen)) == 4)
        here = current(screen)
        assert here is not None
        assert here.run_id == RUNS[1].run_id, "the cursor stays on its run"


async def test_a_history_that_cannot_be_used_is_told(storage: Path) -> None:
    data_folder().parent.mkdir(parents=True)
    data_folder().touch()
    app = app_of(storage)
    async with opened(app) as pilot:
        screen = await open_history(pilot)
        assert "cannot be used" in text(screen, "#nothing")
        await pilot.press("escape")
        assert shows(app, ExploreScreen)


async def test_a_damaged_history_is_told_once(storage: Path) -> None:
    data_folder().mkdir(parents=True)
    (data_folder() / "history.db").write_bytes(b"not a database" * 1000)
    app = app_of(storage)
    async with opened(app) as pilot:
        screen = await open_history(pilot)
        await until(pilot, lambda: "No runs yet" in text(screen, "#nothing"))
        await pilot.press("escape", "h")
        await settled(pilot)
        assert sum("was damaged" in str(note.message) for note in app._notifications) == 1


async def test_a_click_highlights_and_a_double_click_opens(storage: Path, history: None) -> None:
    app = app_of(storage)
    async with opened(app) as pilot:
        screen = await open_history(pilot)
        table = screen.query_one(RunTable)
        await pilot.click(table, offset=(10, 1))
        assert table.highlighted == 1
        assert app.screen is screen
        await pilot.click(table, offset=(10, 2), times=2)
        await until(pilot, lambda: shows(app, ExploreScreen))
        assert app.explorer.session.run == RUNS[0]


async def test_the_help_knows_the_key_and_is_at_hand(storage: Path, history: None) -> None:
    app = app_of(storage)
    async with opened(app) as pilot:
        await open_history(pilot)
        await pilot.press("question_mark")
        assert isinstance(app.screen, TextPage)
        shown = str(app.screen.query_one("#text", Static).content)
        assert "h shows them all" in shown
        assert str(data_folder()) in shown
        await pilot.press("escape")
        assert shows(app, HistoryScreen)


async def test_it_works_in_every_size_and_resizing_loses_nothing(storage: Path, history: None) -> None:
    app = app_of(storage)
    async with opened(app, (200, 60)) as pilot:
        screen = await open_history(pilot)
        await pilot.press("space", "slash", *"demo", "down")
        await until(pilot, lambda: len(listed(screen)) == 2)
        for width, height in ((60, 16), (80, 24), (120, 36), (20, 5), (200, 60)):
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            tiny = (width, height) == (20, 5)
            assert screen.query_one("#too-small").display == tiny
            assert screen.query_one("#preview-pane").display == (not tiny and height >= 22)
            if not tiny:
                shown = listed(screen)[0]
                assert len(shown) <= width - 2
                assert "✓ 8/12" in shown
        assert listed(screen)[0].startswith("■")


async def test_plain_characters_only_where_asked_for(storage: Path, history: None) -> None:
    app = app_of(storage, ascii_only=True)
    async with opened(app, (200, 60)) as pilot:
        screen = await open_history(pilot)
        await pilot.press("b", "space")
        await until(pilot, lambda: "*" in listed(screen)[0])
        await until(pilot, lambda: "tensorstore" in text(screen, "#preview"))
        for words in (*listed(screen), text(screen, "#preview"), text(screen, "#chart"), text(screen, "#runs-heading")):
            assert words.isascii(), words


@pytest.mark.parametrize("width", [55, 77, 117, 197, 300])
@pytest.mark.parametrize("glyphs", [BLOCKS, ASCII])
def test_a_row_fits_its_width_and_stands_under_its_headings(width: int, glyphs: object) -> None:
    signs = BLOCKS if glyphs is BLOCKS else ASCII
    with History() as history:
        long = kept(1, model="openlm-research/open_llama_3b_v2", storage="/a/very/long/path/to/a/folder/of/checkpoints")
        history.keep(msgspec.structs.replace(long, environment=ENVIRONMENT))
        history.name(long.run_id, "a name that is as long as a name may be, and then some")
        history.tag(long.run_id, "a-tag", "another-tag", "and-one-more")
        (entry,) = history.runs()
    row, headings = line(entry, width, signs, marked=True).plain, heading(width, signs).plain
    assert len(row) <= width
    columns, _ = columns_for(width, signs)
    for column in columns:
        start = headings.index(column.heading)
        assert row[start - 1] == " "
        assert row[start] != " "


@pytest.mark.parametrize("width", [40, 57, 77, 117, 197])
def test_a_preview_fits_its_width_and_a_failure_says_why(width: int) -> None:
    run = kept(1, methods=SIX)
    failure = Failure("killed (SIGKILL): out of memory, or by somebody's hand")
    records = tuple(
        msgspec.structs.replace(r, status="failed", result=None, failure=failure) if r.trial.method == "t5x" else r
        for r in run.records
    )
    shown = preview(msgspec.structs.replace(run, records=records, advice=()), width, ascii_only=False).plain
    table = shown.partition("\n\n")[0].splitlines()
    assert len(table) == 7
    assert all(len(row) <= width for row in table)
    assert all("1.50" in row for row in table[1:] if not row.startswith("t5x"))
    (failed,) = (row for row in table if row.startswith("t5x"))
    assert "failed: killed" in failed
    nothing = preview(run_of(Plan(methods=("t5x",)), {}), width, ascii_only=True)
    assert "cancelled" in nothing.plain


def test_nobody_waits_for_the_database_to_see_the_explorer() -> None:
    code = (
        "import sys, tui.explorer.app, tui.screens.explore;print({'sqlite3', 'state.history.store'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_an_entry_of_another_machine_shows_its_own_place() -> None:
    with History() as history:
        environment = msgspec.structs.replace(ENVIRONMENT, hostname="elsewhere", filesystem=FileSystem("xfs"))
        history.keep(msgspec.structs.replace(kept(1), environment=environment))
        (entry,) = history.runs()
    assert "xfs /disk" in line(entry, 200, BLOCKS, marked=False).plain
    assert "elsewhere" in line(entry, 200, BLOCKS, marked=False).plain
