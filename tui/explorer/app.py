"""The explorer: what people can do in it. Every action of `tui.keys` is a method here."""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import work
from textual.app import SystemCommand
from textual.command import CommandPalette
from textual.screen import Screen

from state.analysis.steps import Switch
from state.command_line import run_command
from state.errors import CkptTuiError
from state.live.explorer import (
    MethodsSelected,
    MethodToggled,
    PlanChanged,
    RunOpened,
    SwitchFlipped,
    ValueStepped,
)
from state.paths import data_folder, settings_file
from state.plan import CELL_NAMES, Plan
from tui.explorer.core import ExplorerCore
from tui.explorer.themes import THEME_NAMES
from tui.keys import ACTIONS

if TYPE_CHECKING:
    from tui.screens.history import HistoryScreen
    from tui.widgets.method_table import MethodTable
    from tui.widgets.setup_list import SetupList
    from tui.widgets.switch_row import SwitchRow


class ExplorerApp(ExplorerCore):
    """The explorer with everything that people can do in it; `ExplorerCore` says what it is made of."""

    #: The switch whose value the keys for larger and smaller change.
    _flipped: Switch = "concurrency"

    def _request(self, methods: tuple[str, ...]) -> None:
        """Ask for a run, or say why it cannot be."""
        if self._is_busy("a run goes on"):
            return

        def refuse(error: CkptTuiError) -> None:
            self._refuse(error.what, error.do)

        try:
            plan = self.explorer.plan_for(methods)
        except CkptTuiError as error:
            refuse(error)
        else:
            self._steering.run(plan, refuse)

    def action_run(self) -> None:
        """What is missing, or everything again."""
        self._request(self.explorer.next_methods)

    def action_run_all(self) -> None:
        """Everything that is selected."""
        self._request(self.explorer.chosen)

    def action_stop(self) -> None:
        """Stop at once; asked again, without waiting for what the worker has to delete."""
        if self._leaving.begun:
            self._leaving.hurry()
        elif self.explorer.running or self._steering.is_asking:
            self._steering.stop()

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

        row, run = self.main.current, self.explorer.shown
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

        run = self.explorer.shown
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

    def on_setup_list_chosen(self, event: "SetupList.Chosen") -> None:
        """A line of the setup was chosen."""
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
