"""Every key and flow of the explorer, with a worker that plays a script."""

import asyncio
import csv
import json
import threading
from pathlib import Path

import pytest
from textual.widgets import Input, RichLog, Select, Static

import backends.storage.folder
from backends.methods import registry
from state.history.store import History
from state.paths import data_folder
from state.plan import SIX
from state.run.events import RunInterrupted, RunRefused, RunRequested
from state.run.records import Failure
from state.settings import Settings
from tests.tui.scripted import (
    FAILURE,
    Script,
    explorer,
    failing,
    fixed_request,
    held_in,
    method_trials,
    opened,
    settled,
    smooth,
)
from tui.explorer.app import ExplorerApp
from tui.keys import ACTIONS
from tui.screens.explore import ExploreScreen
from tui.screens.export import Export
from tui.screens.question import Question
from tui.screens.setup import Setup
from tui.screens.text import TextPage
from tui.widgets.chart import Chart
from tui.widgets.checkbox import Tick
from tui.widgets.live_strip import sparkline
from tui.widgets.method_table import MethodTable
from tui.widgets.switch_row import SwitchRow


def text(app: ExplorerApp, selector: str) -> str:
    """What a static widget of the main screen says."""
    return str(app.main.query_one(selector, Static).content)


def running(app: ExplorerApp) -> bool:
    """Whether a run goes on now."""
    return app.explorer.running


def line(app: ExplorerApp, method: str) -> str:
    """A method's row as it is written."""
    table = app.main.query_one(MethodTable)
    number = app.explorer.available.index(method)
    return str(table.get_option_at_index(number).prompt)


async def test_r_measures_the_six_and_shows_each_as_it_comes(storage: Path) -> None:
    app, launcher = explorer(storage, held_in(2), repeats=1)
    async with opened(app) as pilot:
        assert "press r: 6 methods" in text(app, "#live")
        await pilot.press("r")
        await settled(pilot)
        run = app.explorer.session.run
        assert run is not None
        first, second = (run.records[number].trial.method for number in method_trials(run.plan)[:4:2])
        assert "queued" not in line(app, first)
        assert "≈62%" in line(app, second)
        assert "MB/s" in text(app, "#live")
        assert "/14" in text(app, "#live"), "two trials are the limit's"
        assert running(app)
        launcher.gate.set()
        await settled(pilot)
        assert not running(app)
        assert launcher.requests[0].plan.methods == SIX
        assert all("✓" in line(app, method) for method in SIX)
        assert "x58.2" in line(app, "pytorch")
        assert "all verified" in text(app, "#live")


async def test_flipping_a_switch_names_and_highlights_its_cell_and_r_measures_only_that(storage: Path) -> None:
    app, launcher = explorer(storage, repeats=1)
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        await pilot.press("c", "k")
        row = app.main.current
        assert row is not None
        assert (row.method, row.is_cell, row.chosen) == ("ts+concurrency+chunks", True, True)
        assert "= ts+concurrency+chunks" in text(app, "#cell")
        assert "not measured" in text(app, "#cell")
        assert "--methods ts+concurrency+chunks " in text(app, "#command")
        await pilot.press("r")
        await settled(pilot)
        assert [request.plan.methods for request in launcher.requests] == [SIX, ("ts+concurrency+chunks",)]
        assert "✓" in line(app, "pytorch")
        assert "≈x42.7" in line(app, "ts+concurrency+chunks"), "a factor across two runs is an estimate"
        await pilot.press("z", "z", "k")
        assert app.explorer.cell == "ts+concurrency"
        assert "✓" in line(app, "ts+concurrency+chunks")


async def test_r_again_measures_all_again_and_shift_r_always_does(storage: Path) -> None:
    app, launcher = explorer(storage, repeats=1)
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        await pilot.press("r")
        await settled(pilot)
        await pilot.press("c", "k", "R")
        await settled(pilot)
        chosen = (*SIX, "ts+concurrency+chunks")
        assert [request.plan.methods for request in launcher.requests] == [SIX, SIX, chosen]


async def test_enter_runs_only_the_highlighted_method_and_then_shows_its_details(storage: Path) -> None:
    app, launcher = explorer(storage, repeats=3)
    async with opened(app) as pilot:
        await pilot.press("down", "enter")
        await settled(pilot)
        assert [request.plan.methods for request in launcher.requests] == [("t5x",)]
        assert "±10%" in line(app, "t5x")
        await pilot.press("enter")
        assert isinstance(app.screen, TextPage)
        shown = str(app.screen.query_one("#text", Static).content)
        for part in ("t5x", "round 1: 1.72 s", "round 2:", "cache cold", "processor time", "stages", "zarr"):
            assert part in shown
        await pilot.press("y")
        assert app.clipboard == shown
        await pilot.press("escape", "up", "i")
        page = str(app.screen.query_one("#text", Static).content)
        assert page.startswith("tensorstore: one at a time"), "nothing was measured of it yet, but it has a help page"


async def test_every_warning_is_in_the_details_where_the_line_above_says(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.process.machine_info.new_request", fixed_request)
    app, _ = explorer(storage, repeats=3, cache="warm", durability="buffered")
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        assert "(and 1 more: i)" in text(app, "#advice")
        await pilot.press("i")
        shown = str(app.screen.query_one("#text", Static).content)
        assert app.explorer.shown is not None
        assert len(app.explorer.shown.advice) == 2
        assert all(sentence in shown for sentence in app.explorer.shown.advice)


async def test_a_failed_method_says_why_and_the_others_go_on(storage: Path) -> None:
    app, _ = explorer(storage, failing("t5x"), repeats=1)
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        assert "✗" in line(app, "t5x")
        assert "killed (SIGKILL)" in line(app, "t5x")
        assert "✓" in line(app, "pytorch")
        assert "1 failed" in text(app, "#live")
        app.main.query_one(MethodTable).highlight("t5x")
        await pilot.press("enter")
        shown = str(app.screen.query_one("#text", Static).content)
        assert FAILURE.what in shown
        assert f"to try: {FAILURE.do}" in shown
        assert "MemoryError" in shown


async def test_x_stops_at_once_and_keeps_what_was_measured(storage: Path) -> None:
    app, _ = explorer(storage, held_in(4), repeats=1)
    async with opened(app) as pilot:
        await pilot.press("x")  # nothing to stop
        await pilot.press("r")
        await settled(pilot)
        run = app.explorer.session.run
        assert run is not None
        assert app.check_action("run", ()) is None
        await pilot.press("r")
        assert app.explorer.session.run is run, "a second run waits for the first"
        await pilot.press("x")
        await settled(pilot)
        assert not running(app)
        assert app.check_action("stop", ()) is None
        assert "stopped" in text(app, "#live")
        first, _, third = (run.records[number].trial.method for number in method_trials(run.plan)[:6:2])
        assert "✓" in line(app, first)
        assert "–" in line(app, third)


async def test_a_stopped_rerun_does_not_hide_what_was_measured_before(storage: Path) -> None:
    app, launcher = explorer(storage, repeats=1)
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        complete = {method: line(app, method) for method in SIX}
        launcher.script = held_in(1)  # the first method is saved, its load never ends
        await pilot.press("R")
        await settled(pilot)
        await pilot.press("x")
        await settled(pilot)
        assert {method: line(app, method) for method in SIX} == complete
        assert app.explorer.missing == ()


async def test_what_was_stopped_is_still_missing_and_r_measures_it(storage: Path) -> None:
    app, launcher = explorer(storage, held_in(1), repeats=1)
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        await pilot.press("x")
        await settled(pilot)
        assert len(app.explorer.missing) == 6
        await pilot.press("l")
        await pilot.pause()
        kept = "\n".join(entry.text for entry in app.main.query_one(RichLog).lines)
        assert "of 14 trials have ended" in kept
        launcher.script = smooth
        await pilot.press("r")
        await settled(pilot)
        assert not app.explorer.missing


async def test_a_stop_right_after_r_stops_before_anything_runs(storage: Path) -> None:
    app, launcher = explorer(storage, repeats=1)
    async with opened(app) as pilot:
        app.action_run()
        app.action_stop()
        await settled(pilot)
        assert not running(app)
        assert launcher.requests == []
        await pilot.press("r")
        await settled(pilot)
        assert len(launcher.requests) == 1


async def test_a_device_that_is_not_here_can_be_given_up(storage: Path) -> None:
    app, _ = explorer(storage, device="cuda")
    async with opened(app) as pilot:
        await pilot.press("s")
        device = app.screen.query_one("#device", Select)
        assert not device.disabled
        assert device.value == "cuda:0"
        device.value = "cpu"
        await pilot.press("ctrl+s")
        await settled(pilot)
        assert app.explorer.plan.device == "cpu"


async def test_the_palette_offers_nothing_of_ours_over_a_form(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app) as pilot:
        await pilot.press("s")
        assert list(app.get_system_commands(app.screen)) == []


async def test_a_hidden_table_is_not_acted_on(storage: Path) -> None:
    app, launcher = explorer(storage)
    async with opened(app, (80, 24)) as pilot:
        await pilot.press("tab", "enter", "space")
        await settled(pilot)
        assert launcher.requests == []
        assert app.explorer.selected == frozenset(SIX)


async def test_space_selects_and_nothing_selected_is_told(storage: Path) -> None:
    app, launcher = explorer(storage, repeats=1)
    async with opened(app) as pilot:
        await pilot.press("home", "space")
        assert line(app, "pytorch").startswith("□")
        assert "--methods tensorstore,t5x" in text(app, "#command")
        await pilot.press(*(["down", "space"] * 5))
        assert "no method is selected" in text(app, "#live")
        assert "no method is selected" in text(app, "#command")
        await pilot.press("r")
        assert isinstance(app.screen, Question)
        assert launcher.requests == []
        await pilot.press("enter")
        assert isinstance(app.screen, ExploreScreen)


async def test_values_change_by_keys_and_mouse_and_not_under_a_run(storage: Path) -> None:
    app, _ = explorer(storage, held_in(0), repeats=1)
    async with opened(app) as pilot:
        row = app.main.query_one("#switch-concurrency", SwitchRow)
        row.focus()
        await pilot.press("left", "minus", "right")
        assert app.explorer.plan.concurrency == 64
        assert row.value == "64"
        await pilot.press("enter")
        assert row.on
        await pilot.press("down", "right", "down", "right")
        assert (app.explorer.plan.chunk_bytes, str(app.explorer.plan.codec)) == (2**27, "gzip:3")
        app.main.query_one(MethodTable).focus()
        await pilot.press("left", "right", "left")
        assert str(app.explorer.plan.codec) == "gzip:1", "arrows go to the switch that was changed last"
        row.focus()
        await pilot.click(row, offset=(5, 0))
        assert app.explorer.switches == (False, False, False)
        await pilot.click(row, offset=(22, 0))
        assert app.explorer.plan.concurrency == 32
        await pilot.click(row, offset=(25, 0))
        assert app.explorer.plan.concurrency == 64
        await pilot.press("r")
        await settled(pilot)
        row.focus()
        await pilot.press("right")
        assert app.explorer.plan.concurrency == 64


async def test_the_mouse_highlights_selects_and_opens(storage: Path) -> None:
    app, launcher = explorer(storage, repeats=1)
    async with opened(app) as pilot:
        table = app.main.query_one(MethodTable)
        await pilot.click(table, offset=(20, 3))
        assert table.highlighted == 3
        assert launcher.requests == []
        await pilot.click(table, offset=(0, 3))
        assert "ts+concurrency" not in app.explorer.chosen
        await pilot.click(table, offset=(20, 4), times=2)
        await settled(pilot)
        assert [request.plan.methods for request in launcher.requests] == [("ts+chunks",)]


async def test_charts_cycle_and_grow_with_results(storage: Path) -> None:
    app, _ = explorer(storage, repeats=1)
    async with opened(app) as pilot:
        assert "bars grow here" in text(app, "#chart")
        await pilot.press("r")
        await settled(pilot)
        pane = app.main.query_one("#chart-pane")
        titles = []
        for _ in range(4):
            titles.append(str(pane.border_title))
            assert "pytorch" in text(app, "#chart")
            await pilot.press("v")
        assert [title.split()[0] for title in titles] == ["Save", "Load", "Size", "Times"]
        assert "█" in text(app, "#chart")


async def test_a_wrong_value_is_refused_beside_its_field_and_a_right_one_is_taken(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app) as pilot:
        await pilot.press("s")
        form = app.screen
        assert isinstance(form, Setup)
        assert "no NVIDIA GPU" in str(form.query_one("#note-device", Static).content)
        assert form.query_one("#device", Select).disabled
        for name, value, part in (
            ("model", "nonesuch", "there is no model"),
            ("size_bytes", "lots", "is not a size"),
            ("storage", str(storage / "gone"), "does not exist"),
            ("repeats", "0", "1 to 1000"),
            ("concurrency", "many", "no whole number"),
            ("chunk_bytes", "1", "64KiB to 1GiB"),
            ("codec", "gzip:99", "no level"),
            ("seed", "-1", "out of range"),
        ):
            form.query_one(f"#{name}", Input).value = value
            await settled(pilot)
            note = form.query_one(f"#note-{name}", Static)
            assert part in str(note.content)
            assert note.has_class("-error")
        await pilot.press("ctrl+s")
        await settled(pilot)
        assert app.screen is form
        assert app.explorer.plan.repeats == 3
        for name, value in (
            *(("model", "gpt2"), ("size_bytes", "200MB"), ("storage", str(storage)), ("repeats", "5")),
            *(("concurrency", "8"), ("chunk_bytes", "1MiB"), ("codec", "zstd"), ("seed", "7")),
        ):
            form.query_one(f"#{name}", Input).value = value
        form.query_one("#cache", Select).value = "warm"
        await pilot.press("ctrl+s")
        await settled(pilot)
        assert isinstance(app.screen, ExploreScreen)
        plan = app.explorer.plan
        assert (plan.model, plan.size_bytes, plan.repeats, plan.cache) == ("gpt2", 200_000_000, 5, "warm")
        assert (plan.concurrency, plan.chunk_bytes, str(plan.codec), plan.seed) == (8, 2**20, "zstd:1", 7)
        assert "gpt2" in text(app, "#title")
        await pilot.press("s")
        app.screen.query_one("#model", Input).value = "demo"
        await pilot.press("escape")
        assert app.explorer.plan.model == "gpt2"


async def test_a_storage_that_is_slow_to_answer_keeps_nobody_from_anything_else(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, asked = threading.Event(), threading.Event()

    def check(folder: Path) -> Path:
        asked.set()
        assert answered.wait(60)
        return folder

    app, launcher = explorer(storage, repeats=1)
    async with opened(app) as pilot:
        monkeypatch.setattr(backends.storage.folder, "check_storage", check)
        await pilot.press("r")
        assert await asyncio.to_thread(asked.wait, 60)
        await pilot.press("question_mark")
        assert isinstance(app.screen, TextPage)
        await pilot.press("escape")
        assert launcher.requests == []
        answered.set()
        await settled(pilot)
        assert len(launcher.requests) == 1


async def test_stop_asked_once_more_waits_for_nothing(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app, launcher = explorer(storage, held_in(0))
    killed: list[bool] = []
    monkeypatch.setattr(launcher, "cancel", lambda: None)  # a storage that does not answer
    monkeypatch.setattr(launcher, "kill", lambda: killed.append(True))
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        await pilot.press("x")
        assert killed == []
        await pilot.press("x")
        assert killed == [True]
        launcher.gate.set()


async def test_the_setup_opens_at_the_line_that_was_chosen_but_not_under_a_run(storage: Path) -> None:
    app, _ = explorer(storage, held_in(0))
    async with opened(app) as pilot:
        await pilot.press("shift+tab", "end", "enter")
        assert isinstance(app.screen, Setup)
        assert app.screen.focused is not None
        assert app.screen.focused.id == "repeats"
        await pilot.press("escape", "r")
        await settled(pilot)
        await pilot.press("s")
        assert isinstance(app.screen, ExploreScreen)


async def test_export_writes_what_is_chosen_and_never_overwrites_silently(storage: Path, tmp_path: Path) -> None:
    app, _ = explorer(storage, repeats=1)
    async with opened(app) as pilot:
        await pilot.press("e")
        assert isinstance(app.screen, ExploreScreen), "there is nothing to export yet"
        await pilot.press("r")
        await settled(pilot)
        await pilot.press("c", "k", "r")
        await settled(pilot)
        await pilot.press("e")
        form = app.screen
        assert isinstance(form, Export)
        form.query_one("#folder", Input).value = str(tmp_path)
        form.query_one("#stem", Input).value = "run"
        for tick in form.query(Tick):
            if tick.id != "overwrite":
                tick.value = True
        form.query_one("#write").focus()
        await pilot.press("enter")
        outcome = form.query_one("#outcome", Static)
        async with asyncio.timeout(60):
            while "wrote" not in str(outcome.content):
                await pilot.pause(0.1)
        assert str(outcome.content).count("wrote") == 7
        rows = list(csv.DictReader((tmp_path / "run.csv").open(newline="")))
        assert {row["method"] for row in rows} == {*SIX, "ts+concurrency+chunks"}
        assert len({row["run_id"] for row in rows}) == 2
        assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / "run.screen.svg").read_text()
        assert json.loads((tmp_path / "run.json").read_bytes())["schema_version"] == 1
        before = (tmp_path / "run.csv").read_bytes()
        form.query_one("#write").focus()
        await pilot.press("enter")
        assert "exists already" in str(outcome.content)
        assert (tmp_path / "run.csv").read_bytes() == before
        for name, value, part in (
            ("#folder", str(tmp_path / "gone"), "does not exist"),
            ("#folder", "~nobody-of-this-name", "names a user"),
            ("#stem", "x" * 300, "no name for a file"),
            ("#stem", " ", "give the files a name"),
        ):
            form.query_one(name, Input).value = value
            await pilot.pause()
            assert part in str(outcome.content)
            form.query_one("#folder", Input).value = str(tmp_path)
        await pilot.press("escape")
        assert isinstance(app.screen, ExploreScreen)


async def test_results_are_kept_on_the_disk_while_the_run_goes_on(storage: Path) -> None:
    app, _ = explorer(storage, held_in(4), repeats=1)
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        await settled(pilot)
        with History() as history:
            (entry,) = history.runs()
        assert (entry.status, entry.done, entry.trials) == ("running", 4, 14)


async def test_a_history_that_cannot_be_written_costs_no_run_and_is_told_once(storage: Path) -> None:
    data_folder().parent.mkdir(parents=True)
    data_folder().touch()
    app, _ = explorer(storage, repeats=1)
    async with opened(app) as pilot:
        await pilot.press("r", "l")
        await settled(pilot)
        assert "all verified" in text(app, "#live")
        log = " ".join(entry.text for entry in app.main.query_one(RichLog).lines)
        assert log.count("not kept") == 1


async def test_every_action_is_in_the_help_and_in_the_palette_and_eleven_keys_are_in_the_footer(storage: Path) -> None:
    app, _ = explorer(storage, settings=Settings(keys={"run": "f5"}))
    async with opened(app) as pilot:
        await pilot.press("question_mark")
        assert isinstance(app.screen, TextPage)
        shown = str(app.screen.query_one("#text", Static).content)
        for binding in ACTIONS:
            assert binding.description in shown
            assert binding.tooltip in shown
        assert "f5" in shown
        await pilot.press("escape")
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert titles == {binding.description for binding in ACTIONS} - {"Commands"}
        assert sum(binding.show for binding in ACTIONS) == 11


async def test_the_palette_runs_an_action(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app) as pilot:
        await pilot.press("ctrl+p")
        await pilot.press(*"Chunking")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert app.explorer.cell == "ts+chunks"


async def test_keys_can_be_rebound(storage: Path) -> None:
    app, launcher = explorer(storage, settings=Settings(keys={"run": "f5", "chunking": "g"}), repeats=1)
    async with opened(app) as pilot:
        await pilot.press("k", "r")
        assert app.explorer.cell == "tensorstore"
        assert launcher.requests == []
        await pilot.press("g", "f5")
        await settled(pilot)
        assert app.explorer.cell == "ts+chunks"
        assert len(launcher.requests) == 1
        assert "press f5" not in text(app, "#live")


async def test_y_copies_the_command_line(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app) as pilot:
        await pilot.press("y")
        assert app.clipboard == f"ckpt-tui run --methods six --storage {storage} --repeats 3"


async def test_themes_cycle(storage: Path) -> None:
    app, _ = explorer(storage)
    async with opened(app) as pilot:
        seen = [app.theme]
        for _ in range(4):
            await pilot.press("t")
            seen.append(app.theme)
        assert seen == ["dark", "light", "high-contrast", "terminal", "dark"]


async def test_tab_goes_through_the_panes_m_maximises_and_l_shows_the_log(storage: Path) -> None:
    app, _ = explorer(storage, repeats=1)
    async with opened(app) as pilot:
        seen = []
        for _ in range(4):
            assert app.screen.focused is not None
            seen.append(app.screen.focused.id)
            await pilot.press("tab")
        assert seen == ["methods", "chart-scroll", "switch-concurrency", "setup"]
        assert app.screen.focused is not None
        assert app.screen.focused.id == "methods"
        await pilot.press("m")
        pane = app.main.query_one("#methods-pane")
        assert pane.is_maximized
        await pilot.press("m")
        assert not pane.size.width > 100
        await pilot.press("l")
        assert app.main.query_one("#log-pane").display
        assert not app.main.query_one("#chart-pane").display
        await pilot.press("l")
        assert app.main.query_one("#chart-pane").display


async def test_a_small_screen_shows_one_pane_and_resizing_loses_nothing(storage: Path) -> None:
    app, _ = explorer(storage, repeats=1)
    async with opened(app, (80, 24)) as pilot:
        await pilot.press("r")
        await settled(pilot)
        panes = ("setup", "methods", "chart", "log")

        def displayed() -> list[str]:
            return [name for name in panes if app.main.query_one(f"#{name}-pane").display]

        assert displayed() == ["methods"]
        await pilot.press("tab")
        assert displayed() == ["chart"]
        await pilot.press("tab", "tab", "tab")
        assert displayed() == ["setup"]
        await pilot.click("#tabs", offset=(10, 0))
        assert displayed() == ["methods"]
        await pilot.resize_terminal(20, 5)
        await pilot.pause()
        assert "20x5 is too small" in text(app, "#too-small")
        await pilot.resize_terminal(200, 60)
        await pilot.pause()
        assert displayed() == list(panes)
        assert "✓" in line(app, "pytorch")


async def test_bars_follow_the_width_also_where_nothing_but_the_chart_is_shown(storage: Path) -> None:
    app, _ = explorer(storage, smooth, repeats=1)
    async with opened(app, size=(200, 60)) as pilot:
        await pilot.press("r")
        await settled(pilot)
        await pilot.resize_terminal(80, 24)
        await settled(pilot)
        await pilot.press("tab")
        await settled(pilot)
        for width in (70, 78):
            await pilot.resize_terminal(width, 24)
            await settled(pilot)
            chart = app.main.query_one(Chart)
            longest = max(len(row) for row in str(chart.content).splitlines())
            assert longest <= chart.size.width
            assert longest > chart.size.width - 4


@pytest.mark.parametrize("size", [(110, 30), (120, 45), (150, 45), (150, 59), (150, 60), (200, 60)])
async def test_there_is_room_for_bars_at_every_size_with_many_methods(size: tuple[int, int], storage: Path) -> None:
    app, _ = explorer(storage, smooth, entries=registry.entries(), repeats=1)
    async with opened(app, size=size) as pilot:
        await pilot.press("r")
        await settled(pilot)
        assert app.main.query_one("#chart-scroll").size.height >= 8


@pytest.mark.parametrize(("size", "lines"), [((60, 16), 6), ((80, 16), 6), ((80, 19), 9)])
async def test_where_lines_are_few_the_table_gets_them(size: tuple[int, int], lines: int, storage: Path) -> None:
    app, _ = explorer(storage, smooth, entries=registry.entries(), repeats=1)
    async with opened(app, size=size) as pilot:
        await settled(pilot)
        assert app.main.query_one(MethodTable).size.height >= lines
        for row in app.main.query(SwitchRow):
            assert row.is_on_screen


async def test_details_bring_a_hidden_table_to_the_front(storage: Path) -> None:
    app, _ = explorer(storage, smooth, repeats=1)
    async with opened(app, size=(80, 24)) as pilot:
        await pilot.press("tab")
        await settled(pilot)
        assert not app.main.query_one(MethodTable).is_on_screen
        await pilot.press("i")
        await settled(pilot)
        assert app.main.query_one(MethodTable).is_on_screen
        await pilot.press("i")
        await settled(pilot)
        assert isinstance(app.screen, TextPage)


async def test_a_refused_run_says_what_to_do_and_the_next_one_can_start(storage: Path) -> None:
    refusals = [RunRefused(Failure("/disk has 1 MB free and the run needs up to 90 MB", "free some space"))]

    def script(request: RunRequested) -> list[object]:
        return [refusals.pop()] if refusals else list(smooth(request))

    app, launcher = explorer(storage, script, repeats=1)
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        assert isinstance(app.screen, Question)
        assert "free some space" in str(app.screen.query(Static).first().content)
        await pilot.press("enter")
        assert "refused" in text(app, "#live")
        await pilot.press("r")
        await settled(pilot)
        assert len(launcher.requests) == 2
        assert "all verified" in text(app, "#live")


async def test_a_storage_folder_that_vanished_is_told_before_the_run(storage: Path) -> None:
    app, launcher = explorer(storage)
    async with opened(app) as pilot:
        storage.rmdir()
        await pilot.press("r")
        await settled(pilot)
        assert isinstance(app.screen, Question)
        assert "does not exist" in str(app.screen.query(Static).first().content)
        assert launcher.requests == []


async def test_a_worker_that_dies_is_told_and_r_starts_another(storage: Path) -> None:
    died = RunInterrupted(Failure("the worker process died (SIGKILL)", "see the log"))
    app, launcher = explorer(storage, repeats=1, idle=(died, died))
    async with opened(app) as pilot:
        await settled(pilot)
        assert "the worker has died" in text(app, "#live")
        await pilot.press("r")
        await settled(pilot)
        assert len(launcher.requests) == 1
        assert "✓" in line(app, "pytorch")


async def test_leaving_a_run_asks_first(storage: Path) -> None:
    app, launcher = explorer(storage, held_in(0))
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        await pilot.press("q")
        assert isinstance(app.screen, Question)
        await pilot.press("enter")
        assert running(app), "enter takes the answer that loses nothing"
        await pilot.press("q", "y")
        await settled(pilot)
        assert launcher.closed
    assert app.return_code == 0


@pytest.mark.parametrize("key", ["q", "x"])
async def test_leaving_that_takes_long_can_be_hurried(key: str, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app, launcher = explorer(storage, held_in(0))
    deleting, hurried = asyncio.Event(), asyncio.Event()

    async def close() -> None:
        deleting.set()
        await hurried.wait()

    monkeypatch.setattr(launcher, "close", close)
    monkeypatch.setattr(launcher, "kill", hurried.set)
    async with opened(app) as pilot:
        await pilot.press("r")
        await settled(pilot)
        await pilot.press("q", "y")
        async with asyncio.timeout(60):
            await deleting.wait()
        assert any("q again" in str(note.message) for note in app._notifications)
        await pilot.press("h", "r")
        assert not hurried.is_set(), "nothing else is done any more"
        await pilot.press(key)
        async with asyncio.timeout(60):
            await hurried.wait()


async def test_leaving_without_a_run_just_leaves(storage: Path) -> None:
    app, launcher = explorer(storage)
    async with opened(app) as pilot:
        await pilot.press("q")
        await settled(pilot)
    assert launcher.closed
    assert app.return_code == 0


def test_a_sparkline_shows_the_highest_of_each_part() -> None:
    assert sparkline([], 10, " 12") == ""
    assert sparkline([1.0, 2.0], 10, " 12") == "12"
    assert sparkline([0.0, 2.0, 1.0, 0.0], 2, " 12") == "21"
    assert len(sparkline([1.0] * 300, 40, " 12")) == 40


@pytest.mark.parametrize("script", [smooth, held_in(3)])
async def test_plain_characters_only_where_asked_for(storage: Path, script: Script) -> None:
    app, _ = explorer(storage, script, settings=Settings(ascii=True), repeats=1)
    async with opened(app) as pilot:
        await pilot.press("r", "k")
        await settled(pilot)
        for method in SIX:
            assert line(app, method).isascii(), line(app, method)
        for selector in ("#chart", "#cell", "#live"):
            assert text(app, selector).replace("·", "").isascii(), text(app, selector)
        for row in app.main.query(SwitchRow):
            assert str(row.render()).isascii()
