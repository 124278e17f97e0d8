"""The kept runs: find one, look at it, open it, and look after it."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.css.query import NoMatches
from textual.events import Resize
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Input, OptionList, Static
from textual.worker import Worker

from backends.storage.folder import user_path
from state.analysis.results import method_results
from state.errors import CkptTuiError
from state.export.json import read_export
from state.history.entry import RunEntry
from state.run.records import Run
from tui.history_thread import Keeper
from tui.screens.ask import Ask
from tui.screens.explore import MIN_COLUMNS, MIN_LINES, WIDE_COLUMNS
from tui.screens.question import Question
from tui.text.chart_views import TITLES
from tui.text.glyphs import Glyphs
from tui.text.preview import preview
from tui.text.run_columns import heading
from tui.text.run_words import when
from tui.widgets.chart import Chart
from tui.widgets.pane import Pane
from tui.widgets.run_table import RunTable

if TYPE_CHECKING:
    from state.history.noise_floor import Noise
    from state.history.store import History

_Answer = TypeVar("_Answer")

#: Runs in the list; a search goes through all.
LIMIT: Final = 500
#: Below this, the list has all of the screen.
_PREVIEW_LINES: Final = 22
#: How often to see whether somebody has written.
_LOOK_S: Final = 1.0
_ONE: Final = ("name", "tag", "baseline", "mark", "export", "delete", "compare")


class HistoryScreen(Screen[None]):
    """Lists the history, and changes it; whatever concerns the explorer is for the app.

    Args:
        keeper: Of the history.
        glyphs: The signs to draw with.
        run_key: What measures in the explorer, for people without any run.
        ascii_only: Draw bars and borders with plain characters.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash", "search", "Search", key_display="/", tooltip="Words of names, tags, models, methods, machines"
        ),
        Binding("space", "mark", "Mark", tooltip="Mark the run, to compare or delete it with others"),
        Binding(
            "equals_sign", "compare", "Compare", key_display="=", tooltip="The two marked, or this and the baseline"
        ),
        Binding("n", "name", "Name", show=False, tooltip="Call the run by a name"),
        Binding("t", "tag", "Tags", show=False, tooltip="Give the run tags, or take them away"),
        Binding("b", "baseline", "Baseline", show=False, tooltip="Make the run the baseline, or no longer"),
        Binding("e", "export", "Export", tooltip="Write CSV, PNG and other files"),
        Binding("i", "import", "Import", show=False, tooltip="Take in a .json file that was exported elsewhere"),
        Binding("d", "delete", "Delete", tooltip="Delete the marked runs, or this one"),
        Binding("escape,q,h", "back", "Back", key_display="esc", tooltip="To the explorer"),
        Binding("question_mark", "app.help", "Help", show=False),
        Binding("down", "list", "To the list", show=False),
    ]

    class OpenRequested(Message):
        """Somebody wants to see a run in the explorer."""

        def __init__(self, run_id: str) -> None:
            super().__init__()
            self.run_id = run_id

    def __init__(self, keeper: Keeper, glyphs: Glyphs, run_key: str, *, ascii_only: bool) -> None:
        super().__init__(classes="-ascii" if ascii_only else "")
        self._keeper = keeper
        self._glyphs = glyphs
        self._run_key = run_key
        self._ascii_only = ascii_only
        self._stamp: tuple[int, int] | None = None
        self._entries: tuple[RunEntry, ...] = ()
        self._marked: dict[str, RunEntry] = {}
        self._run: Run | None = None
        self._loading: Worker[None] | None = None

    def compose(self) -> ComposeResult:
        """Search, list and preview."""
        yield Static(id="too-small")
        yield Static(id="title", markup=False)
        with Pane("runs", "Runs", "n name · t tags · b baseline · i import"):
            yield Input(placeholder="/ to search: name, tag, model, method, storage …", id="search", compact=True)
            yield Static(id="runs-heading")
            yield Static(id="nothing", markup=False)
            yield RunTable(self._glyphs)
        with Pane("preview", ""), Horizontal():
            with VerticalScroll(id="preview-scroll"):
                yield Static(id="preview")
            with Vertical(id="preview-chart"):
                yield Static(TITLES["save"], id="preview-title")
                yield Chart(ascii_only=self._ascii_only)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Look at the history now, and whenever somebody may have written."""
        self._table.focus()
        self._load()
        self.set_interval(_LOOK_S, self._load_in_time)

    @property
    def _table(self) -> RunTable:
        return self.query_one(RunTable)

    async def _ask(self, question: "Callable[[History], _Answer]") -> _Answer | None:
        """The answer, or None if there is none, which is told then."""
        try:
            return await self._keeper.ask(question)
        except CkptTuiError as error:
            self.notify(str(error), severity="warning", markup=False)
            return None

    # The list ------------------------------------------------------------------------------------------------------

    @on(Input.Changed, "#search")
    def _search(self) -> None:
        self._stamp = None
        self._load()

    def _load_in_time(self) -> None:
        """Look again, unless the last look at a long history still goes on."""
        if self._loading is None or self._loading.is_finished:
            self._load()

    def _load(self) -> None:
        """Draw the list anew if anything has changed in it."""
        self._loading = self._look_into_history()

    @work(exclusive=True, group="list")
    async def _look_into_history(self) -> None:
        search, seen = self.query_one("#search", Input).value, self._stamp

        def look(history: "History") -> tuple[tuple[int, int], tuple[RunEntry, ...] | None]:
            stamp = history.stamp()
            return stamp, history.runs(search, LIMIT + 1) if stamp != seen else None

        try:
            stamp, entries = await self._keeper.ask(look)
        except CkptTuiError as error:
            stamp, entries, nothing = None, (), str(error)
        else:
            nothing = self._nothing(search)
        if entries is not None:
            self._stamp = stamp
            with contextlib.suppress(NoMatches):  # the screen has been left meanwhile
                self._show(entries, nothing)

    def _nothing(self, search: str) -> str:
        if search.strip():
            return f"No run has all of these words: {search.strip()}\n\n/ changes the search."
        return (
            f"No runs yet.\n\n{self._run_key} in the explorer measures, and so does ckpt-tui run.\n"
            "Every run is kept here while it goes on:\nto open again, to compare with others, to export.\n\n"
            "i takes in a .json file from another machine."
        )

    def _show(self, entries: tuple[RunEntry, ...], nothing: str) -> None:
        self._entries = entries
        searching = bool(self.query_one("#search", Input).value.strip())
        known = {entry.run_id: entry for entry in entries}
        if not searching and len(entries) <= LIMIT:  # what others have deleted; a search only hides
            self._marked = {run_id: entry for run_id, entry in self._marked.items() if run_id in known}
        self._marked |= {run_id: known[run_id] for run_id in self._marked if run_id in known}
        self.set_class(not self._entries, "-empty")
        self.query_one("#nothing", Static).update(nothing)
        self._draw_list()
        baseline = next((f"baseline {entry.title}" for entry in self._entries if entry.baseline), "")
        count = f"the newest {LIMIT} runs" if len(entries) > LIMIT else _counted(len(entries))
        count += " found" if searching else ""
        marked = f"{len(self._marked)} marked" if self._marked else ""
        words = " · ".join(filter(None, (count, baseline, marked)))
        self.query_one("#title", Static).update(
            Content.assemble((" ckpt-tui ", "bold $primary"), (" History ", "bold"), (f" {words}", "$foreground 80%"))
        )
        self.refresh_bindings()
        self._look()

    def _draw_list(self) -> None:
        width = self._table.scrollable_content_region.width
        self.query_one("#runs-heading", Static).update(heading(width, self._glyphs))
        self._table.show(self._entries[:LIMIT], self._marked)

    # The preview ---------------------------------------------------------------------------------------------------

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        self._look()

    @work(exclusive=True, group="preview")
    async def _look(self) -> None:
        entry = self._table.current
        if entry is None:
            self._run = None
            self.query_one("#preview", Static).update("")
            return
        self._run = await self._ask(lambda history: history.get(entry.run_id))
        with contextlib.suppress(NoMatches):  # the screen has been left meanwhile
            self._describe(entry)

    def _describe(self, entry: RunEntry) -> None:
        pane = self.query_one("#preview-pane", Pane)
        tags = "".join(f" #{tag}" for tag in entry.tags)
        pane.border_title = Content(f"{entry.name or when(entry)}{tags}")
        pane.border_subtitle = Content(f"{entry.run_id} on {entry.hostname}")
        self._draw_preview()

    def _draw_preview(self) -> None:
        if self._run is None:
            return
        width = self.query_one("#preview-scroll").scrollable_content_region.width
        self.query_one("#preview", Static).update(preview(self._run, width, ascii_only=self._ascii_only))
        chart = self.query_one(Chart)
        if self.has_class("-wide"):
            chart.show(
                self._run, method_results(self._run), "save", chart.content_region.width, chart.content_region.height
            )

    # Size ----------------------------------------------------------------------------------------------------------

    def on_resize(self, event: Resize) -> None:
        """Lay out anew; nothing is lost, only hidden."""
        width, height = event.size
        self.set_class(width < MIN_COLUMNS or height < MIN_LINES, "-tiny")
        self.set_class(height < _PREVIEW_LINES, "-low")
        self.set_class(width >= WIDE_COLUMNS, "-wide")
        self.query_one("#too-small", Static).update(
            f"{width}x{height} is too small: make it {MIN_COLUMNS}x{MIN_LINES}. What runs goes on."
        )

    def on_line_table_resized(self) -> None:
        """The columns follow the width."""
        self._draw_list()
        self._draw_preview()

    # Actions -------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Dim what needs a run where there is none."""
        return None if action in _ONE and self._table.current is None else True

    def action_search(self) -> None:
        """Write into the search."""
        self.query_one("#search", Input).focus()

    @on(Input.Submitted, "#search")
    def action_list(self) -> None:
        """From the search to the list."""
        self._table.focus()

    def action_back(self) -> None:
        """From the search to the list, and from there to the explorer."""
        if self.focused is not self._table:
            self._table.focus()
        else:
            self.dismiss()

    def on_run_table_opened(self) -> None:
        """Enter, or a double click."""
        if self._table.current is not None:
            self.post_message(self.OpenRequested(self._table.current.run_id))

    def action_mark(self) -> None:
        """Mark the run, or no longer."""
        if (entry := self._table.current) is not None:
            if self._marked.pop(entry.run_id, None) is None:
                self._marked[entry.run_id] = entry
            self._show(self._entries, "")

    @work
    async def action_compare(self) -> None:
        """The two marked runs, or the highlighted one with the baseline."""
        entry = self._table.current
        if len(self._marked) == 2:
            older, newer = sorted(self._marked.values(), key=lambda marked: (marked.created_at, marked.run_id))
            await self._compare(older.run_id, newer.run_id)
        elif self._marked or entry is None:
            self.notify("mark two runs, or none to compare the highlighted one with the baseline", severity="warning")
        elif (baseline := await self._ask(lambda history: history.resolve("baseline"))) == entry.run_id:
            self.notify("this is the baseline: highlight another run, or mark two", severity="warning")
        elif baseline is not None:
            await self._compare(baseline, entry.run_id)

    async def _compare(self, a_run_id: str, b_run_id: str) -> None:
        """Show two runs side by side, the first as what the second is measured against."""
        from state.history.noise_floor import noise_floor
        from tui.screens.compare import CompareScreen

        def look(history: "History") -> "tuple[Run, Run, Noise | None]":
            before, after = history.get(a_run_id), history.get(b_run_id)
            return before, after, noise_floor(history, after)

        if (found := await self._ask(look)) is not None:
            self.app.push_screen(CompareScreen(*found, ascii_only=self._ascii_only))

    def action_name(self) -> None:
        """Ask for a name."""
        if (entry := self._table.current) is None:
            return

        async def take(text: str) -> None:
            await self._keeper.ask(lambda history: history.name(entry.run_id, text))
            self._load()

        self.app.push_screen(Ask("Name", f"A name for {entry.run_id}; none takes it away:", entry.name, take))

    def action_tag(self) -> None:
        """Ask for the tags."""
        if (entry := self._table.current) is None:
            return

        async def take(text: str) -> None:
            tags = text.replace(",", " ").split()

            def change(history: "History") -> None:
                history.tag(entry.run_id, *tags)
                history.untag(entry.run_id, *(tag for tag in entry.tags if tag not in tags))

            await self._keeper.ask(change)
            self._load()

        self.app.push_screen(Ask("Tags", f"Tags of {entry.title}, with spaces:", " ".join(entry.tags), take))

    @work
    async def action_baseline(self) -> None:
        """Make it the baseline, or let none be."""
        if (entry := self._table.current) is not None:
            wanted = None if entry.baseline else entry.run_id
            await self._ask(lambda history: history.set_baseline(wanted))
            self._load()

    def action_import(self) -> None:
        """Ask for a file."""

        async def take(text: str) -> None:
            path = user_path(text.strip())
            run = await self._keeper.ask(lambda history: _take_in(history, read_export(path)))
            self._load()
            self.notify(f"took in {run.run_id}", markup=False)

        self.app.push_screen(Ask("Import", "Path of a .json file that ckpt-tui wrote:", "", take))

    @work
    async def action_export(self) -> None:
        """Write files of the highlighted run."""
        from tui.screens.export import Export

        if (entry := self._table.current) is not None:
            run = await self._ask(lambda history: history.get(entry.run_id))
            if run is not None:
                self.app.push_screen(Export(run, self.app.export_screenshot()))

    @work
    async def action_delete(self) -> None:
        """The marked runs, or the highlighted one, after asking."""
        if (entry := self._table.current) is None:
            return
        entries = list(self._marked.values()) or [entry]
        names = "\n".join(f"{entry.title}{' (the baseline)' if entry.baseline else ''}" for entry in entries[:8])
        rest = f"\nand {len(entries) - 8} more" if len(entries) > 8 else ""
        text = f"This cannot be undone:\n\n{names}{rest}"
        if await self.app.push_screen_wait(Question(f"Delete {_counted(len(entries))}?", text, "Delete", "Keep")):
            await self._ask(lambda history: history.delete([entry.run_id for entry in entries]))
            self._marked.clear()
            self._load()


def _take_in(history: "History", run: Run) -> Run:
    history.add(run)
    return run


def _counted(count: int) -> str:
    return f"{count} {'run' if count == 1 else 'runs'}"
