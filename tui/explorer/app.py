"""The explorer: holds what is known, drives the worker, and answers what people do."""

import contextlib
import datetime
import gc
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.driver import Driver
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker

from backends.methods.groups import groups
from state.analysis.steps import Switch
from state.command_line import run_command
from state.errors import CkptTuiError
from state.live.explorer import (
    Explorer,
    MethodsSelected,
    MethodToggled,
    PlanChanged,
    RunOpened,
    SwitchFlipped,
    ValueStepped,
    explore,
)
from state.paths import data_folder, settings_file
from state.plan import CELL_NAMES, Plan
from state.run.events import (
    Event,
    RunFinished,
    RunRefused,
    RunRequested,
    ScratchLeft,
)
from state.settings import Settings
from tui.aside import aside
from tui.explorer.leaving import Leaving
from tui.explorer.themes import THEME_NAMES, THEMES
from tui.explorer.worker_driver import Steering
from tui.history_thread import Keeper
from tui.keys import ACTIONS, DEFAULT_KEYS
from tui.screens.explore import ExploreScreen
from tui.screens.live import LiveScreen
from tui.text.log_lines import narrate
from tui.text.method_rows import ASCII, BLOCKS
from tui.text.next_step import hint

if TYPE_CHECKING:
    from backends.methods.registry import Entry
    from backends.process.launcher import Launcher
    from state.history.noise_floor import Noise
    from state.history.store import History
    from state.run.records import Run
    from tui.screens.history import HistoryScreen
    from tui.screens.question import Question
    from tui.widgets.method_table import MethodTable
    from tui.widgets.switch_row import SwitchRow


#: How long the screen may wait to learn what lies under a storage folder.
_LOOK_S: Final = 0.5
#: After what time people are told what is waited for.
_WORD_S: Final = 2.0
#: Of the tasks that ask a storage before a run.
_REQUEST: Final = "request"


def _is_of_the_palette(error: BaseException) -> bool:
    """Whether an exception comes out of Textual's palette of commands, or out of a task that it has started."""
    frames = traceback.walk_tb(getattr(error, "error", error).__traceback__)
    return any(frame.f_globals.get("__name__") == CommandPalette.__module__ for frame, _ in frames)


class ExplorerApp(App[None]):
    """The explorer.

    Args:
        plan: The setup to begin with; its storage folder exists.
        entries: Every method there is.
        settings: The user's.
        launcher: Of the worker; tests give their own.
        clock: Of the log, likewise.
        driver_class: What draws; None leaves it to Textual.
    """

    TITLE = "ckpt-tui"
    CSS_PATH = "app.tcss"
    NOTIFICATION_TIMEOUT = 6

    BINDINGS: ClassVar = [Binding("ctrl+q", "quit", "Quit", show=False, priority=True)]

    def __init__(
        self,
        plan: Plan,
        entries: "Mapping[str, Entry]",
        settings: Settings,
        launcher: "Launcher | None" = None,
        clock: Callable[[], datetime.datetime] = datetime.datetime.now,
        driver_class: type[Driver] | None = None,
    ) -> None:
        super().__init__(driver_class)
        self._entries = entries
        self.explorer = Explorer(plan, tuple(entries), selected=frozenset(plan.methods), groups=groups(entries))
        self._settings = settings
        self.keys = {**DEFAULT_KEYS, **settings.keys}
        self._steering = Steering(self.dispatch, launcher)
        self._glyphs = ASCII if settings.ascii else BLOCKS
        self._clock = clock
        self._driving: Worker[None] | None = None
        self._where = ("", "")
        self._flipped: Switch = "concurrency"
        self._leaving = Leaving(self, self._end, self._steering.kill)
        self._farewell: Question | None = None
        self._is_stopping = False
        self._keeper = Keeper(self._warn)
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = settings.theme
        self.set_keymap(settings.keys)

    def get_default_screen(self) -> ExploreScreen:
        """The main screen."""
        return ExploreScreen(self._entries, self._glyphs, self.keys, ascii_only=self._settings.ascii)

    @property
    def main(self) -> ExploreScreen:
        """The main screen, whatever lies over it."""
        screen = self.screen_stack[0]
        assert isinstance(screen, ExploreScreen)
        return screen

    def on_mount(self) -> None:
        """Listen to signals."""
        self.app_resume_signal.subscribe(self, self._repaint)
        self._leaving.listen()

    @on(ExploreScreen.Filled)
    def _begin(self) -> None:
        """The screen stands: draw what is known, start the worker, and look for leftovers."""
        self._show()
        gc.freeze()
        gc.enable()
        self._driving = self.run_worker(self._steering.steer())
        # Before a third round needs it; the end does not wait for a thread of this kind.
        threading.Thread(target=importlib.import_module, args=("scipy.special",), daemon=True).start()
        self._offer_to_remove_leftovers()

    # What happens --------------------------------------------------------------------------------------------------

    def dispatch(self, event: Event) -> None:
        """Let something happen: to the state, the log, the screen, and the results on the disk."""
        before = self.explorer
        self.explorer = explore(self.explorer, event)
        self._is_stopping = self._is_stopping and self.explorer.running
        session = self.explorer.session
        for line in narrate(session, event):
            self._tell(line)
        match event:
            case RunRequested() if session.run is not None and session.run is not before.session.run:
                for sentence in session.run.advice:
                    self._tell(f"! {sentence}")
            case ScratchLeft():
                self._warn(f"{event.what}: ckpt-tui doctor finds it")
            case RunRefused():
                self._tell(f"refused: {event.failure.what}: {event.failure.do}")
                self._refuse(event.failure.what, event.failure.do)
        if self._farewell is not None and self.screen is self._farewell and not self.explorer.running:
            self._farewell.dismiss(False)  # there is nothing to ask any more
        if session.run is not None and session.run is not before.session.run:
            self._keeper.note(event, session.run)
        self._show()

    def _warn(self, sentence: str) -> None:
        self._tell(f"! {sentence}")
        self.notify(sentence, severity="warning", markup=False)

    # Drawing -------------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        from backends.patience import UnansweredError, within
        from backends.storage.folder import filesystem_of

        storage = self.explorer.plan.storage
        if storage != self._where[0]:
            filesystem = "(not here)"  # that of a run that was opened may be gone, or on another machine
            # Or be no name that this system knows, or a link to itself.
            with contextlib.suppress(OSError, ValueError, RuntimeError, UnansweredError):
                filesystem = within(_LOOK_S, lambda: filesystem_of(Path(storage).resolve(strict=True))).type
            self._where = (storage, f"{storage} {filesystem}")
        words = "" if self.explorer.running else hint(self.explorer, self.keys)
        self.main.show(self.explorer, self._where[1], words)
        for screen in self.screen_stack:
            if isinstance(screen, LiveScreen):
                screen.show(self.explorer, words)

    def _tell(self, line: str) -> None:
        self.main.write(f"{self._clock():%H:%M:%S} {line}")

    def _refuse(self, what: str, do: str) -> None:
        from tui.screens.question import Question

        self.push_screen(Question("This cannot be run", f"{what}.\n\nTo try: {do}.", "OK"))

    def _is_busy(self, why: str) -> bool:
        """Whether a run goes on or is about to, which is told then."""
        is_busy = self.explorer.running or self._is_asked
        if is_busy:
            self.notify(f"{why}: {self.keys['stop']} stops it", severity="warning")
        return is_busy

    @property
    def _is_asked(self) -> bool:
        """Whether the storage of a run that was asked for has still to answer."""
        return any(worker.group == _REQUEST and not worker.is_finished for worker in self.workers)

    # What people do ------------------------------------------------------------------------------------------------

    def _request(self, methods: tuple[str, ...]) -> None:
        """Ask for a run, or say why it cannot be."""
        if not self._is_busy("a run goes on"):
            self._ask_storage(methods)

    @work(group=_REQUEST)
    async def _ask_storage(self, methods: tuple[str, ...]) -> None:
        """Begin a run if its storage can take it; that may take long to be known."""
        from backends.process.machine_info import new_request
        from backends.storage.folder import check_storage, in_time

        def look(plan: Plan) -> RunRequested:
            folder = check_storage(Path(plan.storage))
            return in_time(folder, partial(new_request, plan))

        waiting = self.set_timer(_WORD_S, self._tell_of_waiting)
        try:
            request = await aside(partial(look, self.explorer.plan_for(methods)))
        except CkptTuiError as error:
            self._refuse(error.what, error.do)
            return
        finally:
            waiting.stop()
        if self._leaving.begun:
            return
        self.dispatch(request)
        self._steering.run(request)

    def _tell_of_waiting(self) -> None:
        self.notify(f"waiting for {self.explorer.plan.storage} to answer", markup=False)

    def _tell_of_stopping(self) -> None:
        if self._is_stopping:
            again = self.keys["stop"]
            self.notify(f"stopping: the trial's files are being deleted; {again} again does not wait for that")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Dim what cannot be done now: nothing any more when it is being left, since no screen comes up then."""
        if self._leaving.begun:
            return False
        running = self.explorer.running
        if (action == "stop" and not (running or self._is_asked)) or (action in ("run", "run_all") and running):
            return None
        return True

    def action_run(self) -> None:
        """What is missing, or everything again."""
        self._request(self.explorer.next_methods)

    def action_run_all(self) -> None:
        """Everything that is selected."""
        self._request(self.explorer.chosen)

    def action_stop(self) -> None:
        """Stop at once; asked again, without waiting for what the worker has to delete."""
        if self._is_asked:  # nothing runs yet
            self.workers.cancel_group(self, _REQUEST)
        elif self._is_stopping:
            self._steering.kill()
        elif self.explorer.running:
            self._is_stopping = True
            self._steering.stop()
            self.set_timer(_WORD_S, self._tell_of_stopping)

    def action_open(self) -> None:
        """The highlighted method: details if it has any, else measure it."""
        row = self.main.current
        if row is None:
            return
        if (row.result is not None and row.result.save is not None) or row.state == "failed" or row.missing:
            self.action_details()
        else:
            self._request((row.method,))

    def action_details(self) -> None:
        """Everything about the highlighted method."""
        from backends.methods.help_page import page
        from tui.screens.text import TextPage
        from tui.text.details import details

        row, run = self.main.current, self.main.shown
        if row is None:  # nobody sees which method that would be
            self.main.action_show_pane("methods")
            return
        text = page(self._entries[row.method])
        if row.result is not None and run is not None:
            text = details(run, row.result, text)
        self.push_screen(TextPage(row.method, text))

    def action_select(self) -> None:
        """Into the run, or out of it."""
        if self.main.current is not None:
            self._toggle(self.main.current.method)

    def _toggle(self, method: str) -> None:
        why = self._entries[method].unavailable
        if why is not None and method not in self.explorer.chosen:
            self.notify(f"{method} {why}", severity="warning", markup=False)
        else:
            self.dispatch(MethodToggled(method))

    def action_flip(self, switch: Switch) -> None:
        """Turn a switch."""
        self._flipped = switch
        self.dispatch(SwitchFlipped(switch))

    def action_step(self, direction: int) -> None:
        """Change the value of the switch that was flipped last."""
        if self._is_busy("the values belong to the run"):
            return
        self.dispatch(ValueStepped(self._flipped, direction))

    def action_setup(self, field: str = "model") -> None:
        """Open the form."""
        from tui.screens.setup import Setup

        if self._is_busy("the setup belongs to the run"):
            return

        def take(plan: Plan | None) -> None:
            if plan is not None:
                self.dispatch(PlanChanged(plan))

        self.push_screen(Setup(self.explorer.plan, field), take)

    def action_presets(self) -> None:
        """Choose a group of methods."""
        from tui.screens.presets import Presets

        def take(group: str | None) -> None:
            if group is not None:
                self.dispatch(MethodsSelected(self.explorer.groups[group]))

        self.push_screen(Presets(self.explorer.groups), take)

    async def action_why(self) -> None:
        """Which switch did what."""
        from tui.screens.why import WhyScreen

        screen = WhyScreen(self._glyphs, self.keys, ascii_only=self._settings.ascii)
        await self.push_screen(screen)
        self._show()

    def action_run_cells(self) -> None:
        """The cells that are missing under the settings chosen now, or all eight again."""
        shown = self.explorer.shown
        missing = tuple(name for name in CELL_NAMES if shown is None or not shown.measured(name))
        self._request(missing or CELL_NAMES)

    def action_export(self) -> None:
        """Write files."""
        from tui.screens.export import Export

        run = self.main.shown
        if run is None or not run.has_results:
            self.notify(f"there is nothing to export yet: {self.keys['run']} measures", severity="warning")
            return
        self.push_screen(Export(run, self.export_screenshot()))

    def action_help(self) -> None:
        """Explain the screen and the keys."""
        from tui.explorer.help import help_text
        from tui.screens.text import TextPage

        text = help_text(self.keys, self._glyphs, folder=str(data_folder()), settings=str(settings_file()))
        self.push_screen(TextPage("Help", text))

    def action_history(self) -> None:
        """Earlier runs."""
        from tui.screens.history import HistoryScreen

        ascii_only = self._settings.ascii
        self.push_screen(HistoryScreen(self._keeper, self._glyphs, self.keys["run"], ascii_only=ascii_only))

    @work(exclusive=True, group="open")
    async def on_history_screen_open_requested(self, event: "HistoryScreen.OpenRequested") -> None:
        """A run out of the history becomes what the explorer shows."""
        if self._is_busy("the table belongs to the run that goes on"):
            return
        try:
            run = await self._keeper.ask(lambda history: history.get(event.run_id))
        except CkptTuiError as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        if self._is_busy("the table belongs to the run that goes on"):  # somebody was quick
            return
        self.dispatch(RunOpened(run))
        self._tell(f"opened {run.run_id}")
        if absent := [method for method in run.plan.methods if method not in self.explorer.available]:
            self.notify(f"not installed here, and not shown: {', '.join(absent)}", severity="warning", markup=False)
        if self.screen is not self.main:
            self.pop_screen()

    @work
    async def on_history_screen_compare_requested(self, event: "HistoryScreen.CompareRequested") -> None:
        """Two runs out of the history are to be held against each other."""
        from state.history.noise_floor import noise_floor
        from tui.screens.compare import CompareScreen

        def look(history: "History") -> "tuple[Run, Run, Noise | None]":
            before, after = (history.get(run_id) for run_id in (event.a_run_id, event.b_run_id))
            return before, after, noise_floor(history, after)

        try:
            before, after, floor = await self._keeper.ask(look)
        except CkptTuiError as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        self.push_screen(CompareScreen(before, after, floor, ascii_only=self._settings.ascii))

    def action_copy(self) -> None:
        """Copy the command line twin."""
        try:
            command = run_command(self.explorer.twin, self.explorer.groups)
        except CkptTuiError as error:
            self.notify(str(error), severity="warning")
            return
        self.copy_to_clipboard(command)
        self.notify(f"copied, if the terminal lets programs do that: {command}", markup=False)

    def action_theme(self) -> None:
        """The next theme."""
        names = [str(name) for name in THEME_NAMES]
        here = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(here + 1) % len(names)]
        self.notify(f"theme: {self.theme}")

    def on_method_table_opened(self) -> None:
        """Enter, or a double click."""
        self.action_open()

    def on_method_table_ticked(self, event: "MethodTable.Ticked") -> None:
        """A click on a box."""
        self._toggle(event.method)

    def on_switch_row_flipped(self, event: "SwitchRow.Flipped") -> None:
        """A click on a switch, or enter."""
        self.action_flip(event.switch)

    def on_switch_row_stepped(self, event: "SwitchRow.Stepped") -> None:
        """An arrow of a switch."""
        self._flipped = event.switch
        self.action_step(event.step)

    @on(ExploreScreen.SetupRequested)
    def _setup(self, event: ExploreScreen.SetupRequested) -> None:
        self.action_setup(event.field)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every action of ours in the palette."""
        if screen is not self.main:  # a form lies over it
            return
        for binding in ACTIONS:
            if binding.action != "app.command_palette":
                yield SystemCommand(binding.description, binding.tooltip, partial(self.main.run_action, binding.action))

    def action_command_palette(self) -> None:
        """Open the palette; one at a time, whatever lies over it."""
        if not any(isinstance(screen, CommandPalette) for screen in self.screen_stack):
            self.push_screen(CommandPalette())

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        """The settings were checked for that; a widget's own keys may stand behind ours."""

    # The end -------------------------------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Leave, but not out of a run without asking."""
        if not self.explorer.running:
            await self._leaving.leave()
            return

        def answer(yes: bool | None) -> None:
            if yes:
                self.notify("leaving: the trial is stopped and its files are deleted …", timeout=60)
                self.run_worker(self._leaving.leave())

        from tui.screens.question import Question

        text = "A run goes on. Leaving stops it; what was measured so far is kept."
        self._farewell = Question("Leave?", text, "Stop and leave", "Stay")
        self.push_screen(self._farewell, answer)

    async def _end(self) -> None:
        """End the worker with everything that it started, remove what it leaves, and keep the results."""
        if self._driving is not None:
            self._driving.cancel()
            with contextlib.suppress(Exception):
                await self._driving.wait()
        if self.explorer.running:
            self.dispatch(RunFinished(cancelled=True))
        await self._steering.close()
        await self._keeper.close()

    def action_suspend_process(self) -> None:
        """Back to the shell, with whatever started us, such as make: all of the process group stops."""
        if self._driver is not None and self._driver.can_suspend:
            self._driver.suspend_application_mode()
            os.killpg(0, signal.SIGSTOP)
            # Here it goes on after `fg`; the driver takes the terminal back by itself.

    def _repaint(self, _: App[None]) -> None:
        """Everything once more: Textual draws only what changes, but the shell has had the terminal meanwhile."""
        for node in (self.screen, *self.screen.walk_children(Widget)):
            node.refresh()

    @work
    async def _offer_to_remove_leftovers(self) -> None:
        """What runs left that were killed with the whole program."""
        from backends.storage import scratch
        from backends.storage.folder import in_time
        from tui.screens.question import Question

        storage = Path(self.explorer.plan.storage)
        try:
            orphans = await aside(partial(scratch.orphans, storage, everywhere=False))
        except OSError as error:
            self._tell(f"! {storage} was not searched for leftovers: {error.strerror}")
            return
        ours = [orphan for orphan in orphans if not orphan.doubt]
        if not ours:
            return
        folders = "\n".join(str(orphan.folder) for orphan in ours)
        text = f"A run that was killed has left this behind:\n\n{folders}"
        if await self.push_screen_wait(Question("Leftovers", text, "Remove", "Keep", safe=True)):
            for orphan in ours:
                try:
                    await aside(partial(in_time, orphan.folder, partial(scratch.remove, orphan.folder)))
                    self._tell(f"removed {orphan.folder}")
                except CkptTuiError as error:
                    self._tell(str(error))

    def _handle_exception(self, error: Exception) -> None:
        """End with what was measured, but not for what nobody needs any more.

        While the explorer is being left, whatever comes up finds its screen gone. And Textual's palette of commands
        goes on for a moment when it has been closed, and misses its own parts then.
        """
        if self._leaving.begun or _is_of_the_palette(error):
            self._note_exception(error)
            if len(self._screen_stack) > 1 and isinstance(self._screen_stack[-1], CommandPalette):
                self.pop_screen()
            return
        super()._handle_exception(error)

    def _note_exception(self, error: BaseException | None) -> None:
        with contextlib.suppress(OSError), self._steering.log.open("a") as log:
            traceback.print_exception(error, file=log)

    def _fatal_error(self) -> None:
        """A fault of ours: the traceback goes to the log, people get a sentence.

        Overrides Textual's own, which prints the traceback with all locals over the screen.
        """
        from backends.process.failures import lack_of_the_process

        error = sys.exc_info()[1]
        self._note_exception(error)
        if self._exit_renderables:  # the first fault has been told
            return
        lack = lack_of_the_process(error) if error is not None else None
        words = f"{lack.what}: {lack.do}" if lack else f"a fault of its own, please report it: see {self._steering.log}"
        self.exit(return_code=1, message=f"ckpt-tui: {words}.")
