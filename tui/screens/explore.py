"""The explorer's main screen: switches, setup, methods, chart, log, and what is happening now."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from state.analysis.steps import SWITCHES
from state.command_line import run_command
from state.errors import RequestError
from state.live.explorer import Explorer, is_same_run
from state.units import size_argument
from tui.keys import ACTIONS
from tui.text.chart_views import TITLES, VIEWS, View
from tui.text.glyphs import Glyphs
from tui.text.method_columns import Row, rows
from tui.text.settings_words import cell_words, title_words
from tui.widgets.live_strip import LiveStrip
from tui.widgets.pane import Pane

if TYPE_CHECKING:
    from backends.methods.entries import MethodEntry
    from tui.widgets.method_search import MethodSearch
    from tui.widgets.method_table import MethodTable
    from tui.widgets.setup_list import SetupList

MIN_COLUMNS: Final = 60
MIN_LINES: Final = 16
#: Below either of these, one pane at a time is shown.
ROOMY_COLUMNS: Final = 110
ROOMY_LINES: Final = 30
#: From here on the log has a place of its own.
WIDE_COLUMNS: Final = 150
WIDE_LINES: Final = 60
#: With fewer lines than that, what can be left out makes room for the table.
LOW_LINES: Final = 20
#: How often the row of the trial that runs is drawn, in its own time.
_ROW_S: Final = 0.6
#: Pane -> the widget in it that takes the focus, in the order in which tab goes.
_FOCUS: Final = {
    "switches": "#switch-concurrency",
    "setup": "#setup",
    "methods": "#methods",
    "chart": "#chart-scroll",
    "log": "#log",
}
#: Panes that share one place on a small screen.
_TABS: Final = ("setup", "methods", "chart", "log")


class ExploreScreen(Screen[None]):
    """Draws an `Explorer`, and turns keys and clicks into messages for the app.

    Args:
        entries: What is known of every method.
        glyphs: The signs to draw with.
        keys: Action -> key, for the labels of the switches.
        ascii_only: Draw bars and borders with plain characters.
    """

    BINDINGS: ClassVar[list[BindingType]] = list(ACTIONS)

    class Filled(Message):
        """Every pane has its content."""

    def __init__(
        self, entries: "Mapping[str, MethodEntry]", glyphs: Glyphs, keys: Mapping[str, str], *, ascii_only: bool
    ) -> None:
        super().__init__(classes="-ascii" if ascii_only else "")
        self._entries = entries
        self._missing: dict[str, str] = {}
        self._glyphs = glyphs
        self._keys = keys
        self._ascii_only = ascii_only
        self._explorer: Explorer | None = None
        self._drawn: Explorer | None = None
        self._drawable = False
        self._row_drawn_s = 0.0
        self._where = ""
        self._view: View = "save"
        self._pane = "methods"
        self._cell = ""

    def compose(self) -> ComposeResult:
        """The panes from top to bottom."""
        yield Static(id="too-small")
        yield Static(id="title")
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield Pane("switches", "Optimizations")
                yield Pane("setup", "Setup", f"{self._keys['setup']} change")
            with Vertical(id="right"):
                yield Static(id="tabs")
                yield Pane("methods", "Methods", self._method_keys())
                yield Pane("chart", TITLES[self._view], f"{self._keys['chart']} next chart")
                yield Pane("log", "Log")
        yield Static(id="advice", markup=False)
        yield LiveStrip(ascii_only=self._ascii_only)
        yield Static(id="command", markup=False)

    def _method_keys(self) -> str:
        return f"{self._keys['select']} select · {self._keys['open']} run only this, or details"

    def on_mount(self) -> None:
        """The frame is drawn at once, and filled when it has been."""
        self._show_tabs()
        self.call_after_refresh(self._fill)

    async def _fill(self) -> None:
        """Import and mount what is in the panes: nobody waits for it to see that the program has started."""
        from textual.containers import VerticalScroll
        from textual.widgets import Footer, RichLog

        from tui.widgets.chart import Chart
        from tui.widgets.method_search import MethodSearch
        from tui.widgets.setup_list import SetupList
        from tui.widgets.switch_row import SwitchRow

        self._missing = {name: words for name, entry in self._entries.items() if (words := ", ".join(entry.missing))}
        switches = [SwitchRow(switch, self._keys[switch], ascii_only=self._ascii_only) for switch in SWITCHES]
        contents: dict[str, tuple[Widget, ...]] = {
            "switches": (*switches, Static(id="cell")),
            "setup": (SetupList(),),
            "methods": (MethodSearch(self._entries, self._glyphs),),
            "chart": (VerticalScroll(Chart(ascii_only=self._ascii_only), id="chart-scroll"),),
            "log": (RichLog(id="log", max_lines=1000, wrap=True, min_width=0),),
        }
        async with self.batch():
            for name, widgets in contents.items():
                await self.query_one(f"#{name}-pane").mount_all(widgets)
            await self.mount(Footer(show_command_palette=False))
        self._drawable = True
        self._table.focus()
        self.post_message(self.Filled())

    # Drawing -------------------------------------------------------------------------------------------------------

    @property
    def _table(self) -> "MethodTable":
        from tui.widgets.method_table import MethodTable

        return self.query_one(MethodTable)

    @property
    def _methods(self) -> "MethodSearch":
        from tui.widgets.method_search import MethodSearch

        return self.query_one(MethodSearch)

    @property
    def _setup(self) -> "SetupList":
        from tui.widgets.setup_list import SetupList

        return self.query_one(SetupList)

    @property
    def current(self) -> Row | None:
        """The highlighted method; None as long as nobody can see the table."""
        return self._table.current if self._drawable and self._table.is_on_screen else None

    def show(self, explorer: Explorer, where: str, hint: str) -> None:
        """Draw a state.

        Args:
            explorer: What is known.
            where: The storage for people: its folder and its file system.
            hint: What to do where nothing runs.
        """
        self._explorer, self._where = explorer, where
        if not self._drawable:
            return
        old, self._drawn = self._drawn, explorer
        moved = old is None or not is_same_run(old, explorer)
        if moved:
            self._show_chart(explorer)
        if moved or old is None or explorer.switches != old.switches or explorer.chosen != old.chosen:
            self._show_settings(explorer)
        if moved or old is None or self._row_is_due(old, explorer):
            self._show_rows(explorer)
        self.query_one(LiveStrip).show(explorer, hint)
        if old is None or explorer.running != old.running:
            self.refresh_bindings()

    def _row_is_due(self, old: Explorer, new: Explorer) -> bool:
        """Whether more changed than a sample, or enough of them: to draw the table with each costs 2 % of a core."""
        before, now = old.session.progress, new.session.progress
        by_people = any(getattr(old, f) is not getattr(new, f) for f in ("plan", "switches", "selected", "visitor"))
        if by_people or before is None or now is None:
            return True
        if now.trial != before.trial or now.phase != before.phase or now.elapsed_s - self._row_drawn_s >= _ROW_S:
            self._row_drawn_s = now.elapsed_s
            return True
        return False

    def write(self, line: str) -> None:
        """Add a line to the log."""
        if self._drawable:
            from textual.widgets import RichLog

            self.query_one(RichLog).write(line)

    def _show_rows(self, explorer: Explorer, *, all_again: bool = False) -> None:
        self._methods.show(rows(explorer, self._missing), all_again=all_again)
        if explorer.cell != self._cell:
            self._cell = explorer.cell
            self._table.highlight(explorer.cell)

    def _show_settings(self, explorer: Explorer) -> None:
        """Everything that only people change: title, switches, setup, command line, advice."""
        plan = explorer.plan
        self.query_one("#title", Static).update(
            Content.assemble(
                (" ckpt-tui ", "bold $primary"),
                (f" {title_words(explorer, self._where, self._glyphs)}", "$foreground 80%"),
            )
        )
        values = {"concurrency": str(plan.concurrency), "chunking": size_argument(plan.chunk_bytes)}
        values["compression"] = str(plan.codec)
        from tui.widgets.switch_row import SwitchRow

        for switch, is_on in zip(SWITCHES, explorer.switches, strict=True):
            row = self.query_one(f"#switch-{switch}", SwitchRow)
            row.on, row.value = is_on, values[switch]
        self.query_one("#cell", Static).update(cell_words(explorer, self._keys["run"]))
        self._setup.show(plan)
        try:
            command = run_command(explorer.twin, explorer.groups)
        except RequestError as error:
            command = str(error)
        self.query_one("#command", Static).update(
            Content.assemble((f"{self._keys['copy']} copies ", "$foreground 50%"), ("$ ", "$primary"), command)
        )
        advice = explorer.shown.advice if explorer.shown is not None else ()
        more = f"  (and {len(advice) - 1} more: {self._keys['details']})" if len(advice) > 1 else ""
        note = self.query_one("#advice", Static)
        note.update(f"! {advice[0]}{more}" if advice else "")
        note.set_class(bool(advice), "-some")

    def _show_chart(self, explorer: Explorer) -> None:
        pane = self.query_one("#chart-pane", Pane)
        pane.border_title = TITLES[self._view]
        from tui.widgets.chart import Chart

        room = self.query_one("#chart-scroll").scrollable_content_region
        self.query_one(Chart).show(explorer.shown, explorer.results, self._view, room.width, room.height)

    def _show_tabs(self) -> None:
        """Which pane a small screen shows, and the line to choose another by mouse."""
        for name in _TABS:
            self.set_class(name == self._pane, f"-pane-{name}")
        tabs = []
        for name in _TABS:
            style = "b $primary reverse" if name == self._pane else "$foreground 70%"
            tabs.append(f"[@click=screen.show_pane('{name}')][{style}] {name.capitalize()} [/][/]")
        self.query_one("#tabs", Static).update(Content.from_markup(" ".join(tabs) + "  [$foreground 50%]tab: next[/]"))

    # Size ----------------------------------------------------------------------------------------------------------

    def on_resize(self, event: Resize) -> None:
        """Lay out anew; nothing is lost, only hidden."""
        width, height = event.size
        self.set_class(width < MIN_COLUMNS or height < MIN_LINES, "-tiny")
        self.set_class(width < ROOMY_COLUMNS or height < ROOMY_LINES, "-compact")
        self.set_class(height < LOW_LINES, "-low")
        self.set_class(width >= WIDE_COLUMNS and height >= WIDE_LINES, "-wide")
        self.query_one("#too-small", Static).update(
            f"{width}x{height} is too small: make it {MIN_COLUMNS}x{MIN_LINES}. What runs goes on."
        )
        self.call_after_refresh(self._draw_again)  # the table, which sees its own size, may be hidden

    def on_line_table_resized(self) -> None:
        """The columns follow the width."""
        self._draw_again()

    def _draw_again(self) -> None:
        if self._explorer is None or not self._drawable:
            return
        self._methods.draw_heading()
        self._show_rows(self._explorer, all_again=True)
        self._show_chart(self._explorer)

    # Actions -------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing can be done with panes that are not filled yet."""
        return self._drawable

    def action_chart(self) -> None:
        """The next view."""
        self._view = VIEWS[(VIEWS.index(self._view) + 1) % len(VIEWS)]
        if self.has_class("-compact"):
            self.action_show_pane("chart")
        if self._explorer is not None:
            self._show_chart(self._explorer)

    def action_search(self) -> None:
        """Narrow the table of methods."""
        if not self._table.is_on_screen:
            self.action_show_pane("methods")
        self._methods.search()

    def action_log(self) -> None:
        """Show the log in the chart's place, or the chart again."""
        if self.has_class("-compact"):
            self.action_show_pane("methods" if self._pane == "log" else "log")
        else:
            self.toggle_class("-log")
            self.call_after_refresh(self._draw_again)

    def action_maximise(self) -> None:
        """The focused pane alone, or all again."""
        if self.maximized is not None:
            self.minimize()
        elif (pane := self._focused_pane()) is not None:
            self.maximize(pane)
        self.call_after_refresh(self._draw_again)

    def action_show_pane(self, name: str) -> None:
        """Bring a pane to the front and focus it."""
        if name in _TABS:
            self._pane = name
            self._show_tabs()
        maximised = self.maximized is not None
        self.minimize()
        self.query_one(_FOCUS[name]).focus()
        if maximised:
            self.maximize(self.query_one(f"#{name}-pane"))
        self.call_after_refresh(self._draw_again)

    def action_next_pane(self, step: int = 1) -> None:
        """Go through the panes; on a small screen each comes to the front."""
        names = [name for name in _FOCUS if self.has_class("-compact") or self.query_one(f"#{name}-pane").display]
        focused = self._focused_pane()
        here = str(focused.id).removesuffix("-pane") if focused is not None else "methods"
        self.action_show_pane(names[(names.index(here) + step) % len(names)] if here in names else names[0])

    def action_previous_pane(self) -> None:
        """The other way round."""
        self.action_next_pane(-1)

    def _focused_pane(self) -> Widget | None:
        if self.focused is None:
            return None
        return next((node for node in self.focused.ancestors if isinstance(node, Pane)), None)
