"""The table of methods with a line to narrow it: of thirty methods people want to see a few."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from tui.text.glyphs import Glyphs
from tui.text.method_columns import Row, heading
from tui.widgets.method_table import MethodTable
from tui.widgets.pane import Pane

if TYPE_CHECKING:
    from backends.methods.entries import MethodEntry


def matches(entry: "MethodEntry", search: str) -> bool:
    """Whether every word of a search occurs in a method's name, family or summary, in any case."""
    text = f"{entry.name} {entry.family} {entry.summary}".lower()
    return all(word in text for word in search.lower().split())


class MethodSearch(Vertical):
    """Heading, rows, and the search while it is used. What is hidden stays selected.

    Args:
        entries: What is known of every method.
        glyphs: The signs to draw with.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Show all", show=False),
        Binding("down", "table", "To the table", show=False),
    ]
    DEFAULT_CSS = """
    MethodSearch { height: 1fr; }
    MethodSearch #filter, MethodSearch #no-method { display: none; }
    MethodSearch.-searching #filter { display: block; }
    MethodSearch.-nothing #no-method { display: block; }
    MethodSearch #heading { height: 1; text-wrap: nowrap; }
    """

    def __init__(self, entries: "Mapping[str, MethodEntry]", glyphs: Glyphs) -> None:
        super().__init__()
        self._entries = entries
        self._glyphs = glyphs
        self._rows: tuple[Row, ...] = ()

    def compose(self) -> ComposeResult:
        """Search, heading and rows."""
        yield Input(
            placeholder="words of a name, family or summary · escape shows all",
            id="filter",
            compact=True,
        )
        yield Static(id="heading")
        yield Static("no method has all of these words", id="no-method")
        yield MethodTable(self._glyphs)

    @property
    def _table(self) -> MethodTable:
        return self.query_one(MethodTable)

    @property
    def _text(self) -> str:
        return self.query_one("#filter", Input).value.strip()

    def show(self, rows: tuple[Row, ...], *, all_again: bool = False) -> None:
        """Draw the rows that the search leaves."""
        self._rows = rows
        found = tuple(row for row in rows if matches(self._entries[row.method], self._text))
        self._table.show(found, all_again=all_again)
        self.set_class(not found, "-nothing")
        if isinstance(self.parent, Pane):
            self.parent.border_title = f"Methods · {len(found)} of {len(rows)} shown" if self._text else "Methods"

    def draw_heading(self) -> None:
        """The columns that there is room for."""
        self.query_one("#heading", Static).update(heading(self._table.scrollable_content_region.width, self._glyphs))

    def search(self) -> None:
        """Write into the search."""
        self.add_class("-searching")
        self.query_one("#filter", Input).focus()

    @on(Input.Changed, "#filter")
    def _narrow(self, event: Input.Changed) -> None:
        event.stop()
        self.show(self._rows)

    @on(Input.Submitted, "#filter")
    def action_table(self) -> None:
        """From the search to the table, which stays as it is."""
        self.set_class(bool(self._text), "-searching")
        self._table.focus()

    def action_clear(self) -> None:
        """All methods again."""
        self.query_one("#filter", Input).value = ""
        self.action_table()
