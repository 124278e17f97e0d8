"""The explorer as a loop: holds what is known, drives the worker, draws, and ends."""

import contextlib
import datetime
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.driver import Driver
from textual.widget import Widget
from textual.worker import Worker

from backends.methods.groups import groups
from state.live.explorer import (
    Explorer,
    explore,
)
from state.plan import Plan
from state.run.events import (
    Event,
    RunFinished,
    RunRefused,
    RunRequested,
    ScratchLeft,
)
from state.settings import Settings
from tui.explorer import faults
from tui.explorer.leaving import Leaving
from tui.explorer.leftovers import offer_to_remove
from tui.explorer.storage_line import storage_line
from tui.explorer.themes import THEMES
from tui.explorer.worker_driver import Steering
from tui.history_thread import Keeper
from tui.keys import DEFAULT_KEYS
from tui.screens.explore import ExploreScreen
from tui.screens.live import LiveScreen
from tui.text.glyphs import ASCII, BLOCKS
from tui.text.log_lines import narrate
from tui.text.next_step import hint

if TYPE_CHECKING:
    from backends.methods.entries import MethodEntry
    from backends.process.launcher import Launcher
    from tui.screens.question import Question


class ExplorerCore(App[None]):
    """What the explorer is without its actions.

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
        entries: "Mapping[str, MethodEntry]",
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
        self._steering = Steering(self, self.dispatch, self.keys["stop"], launcher)
        self._glyphs = ASCII if settings.ascii else BLOCKS
        self._clock = clock
        self._driving: Worker[None] | None = None
        self._leaving = Leaving(self, self._end, self._steering.kill)
        self._farewell: Question | None = None
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
        if self._leaving.begun:  # somebody was quick, and nothing would end what begins now
            return
        self._show()
        gc.freeze()
        gc.enable()
        self._driving = self.run_worker(self._steering.steer())
        # Before a third round needs it; the end does not wait for a thread of this kind.
        threading.Thread(target=importlib.import_module, args=("scipy.special",), daemon=True).start()
        self.run_worker(offer_to_remove(self, Path(self.explorer.plan.storage), self._tell))

    # What happens --------------------------------------------------------------------------------------------------

    def dispatch(self, event: Event) -> None:
        """Let something happen: to the state, the log, the screen, and the results on the disk."""
        before = self.explorer
        self.explorer = explore(self.explorer, event)
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
        words = "" if self.explorer.running else hint(self.explorer, self.keys)
        self.main.show(self.explorer, storage_line(self.explorer.plan.storage), words)
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
        is_busy = self.explorer.running or self._steering.is_asking
        if is_busy:
            self.notify(f"{why}: {self.keys['stop']} stops it", severity="warning")
        return is_busy

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Dim what cannot be done now: no screen comes up any more when it is being left, which may only be hurried."""
        if self._leaving.begun:
            return action in ("quit", "stop")
        running = self.explorer.running
        if (action == "stop" and not (running or self._steering.is_asking)) or (
            action in ("run", "run_all") and running
        ):
            return None
        return True

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        """The settings were checked for that; a widget's own keys may stand behind ours."""

    # The end -------------------------------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Leave, but not out of a run without asking; asked again, without waiting for what has to be deleted."""
        if self._leaving.begun:
            self._leaving.hurry()
            return
        if not self.explorer.running:
            await self._leaving.leave()
            return

        def answer(yes: bool | None) -> None:
            if yes:
                again = f"{self.keys['quit']} again does not wait for that"
                self.notify(f"leaving: the trial's files are being deleted; {again}", timeout=60)
                self.run_worker(self._leaving.leave())

        from tui.screens.question import Question

        text = "A run goes on. Leaving stops it; what was measured so far is kept."
        self._farewell = Question("Leave?", text, "Stop and leave", "Stay")
        self.push_screen(self._farewell, answer)

    async def _end(self) -> None:
        """End the worker with everything that it started, remove what it leaves, and keep the results."""
        self._steering.stop_asking()
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

    def _handle_exception(self, error: Exception) -> None:
        """End with what was measured, but not for what nobody needs any more.

        While the explorer is being left, whatever comes up finds its screen gone.
        """
        of_the_palette = faults.is_of_the_palette(error)
        if self._leaving.begun or of_the_palette or faults.is_of_what_is_gone(error):
            faults.note(error, self._steering.log)
            if of_the_palette and len(self._screen_stack) > 1 and isinstance(self._screen_stack[-1], CommandPalette):
                self.pop_screen()
            return
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Overrides Textual's own, which prints the traceback with all locals over the screen."""
        error = sys.exc_info()[1]
        faults.note(error, self._steering.log)
        if not self._exit_renderables:  # else the first fault has been told
            self.exit(return_code=1, message=faults.sentence(error, self._steering.log))
