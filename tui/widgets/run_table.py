"""The kept runs, one a line."""

from collections.abc import Collection, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets.option_list import Option

from state.history.entry import RunEntry
from tui.text.glyphs import Glyphs
from tui.text.run_columns import line
from tui.widgets.line_table import LineTable


class RunTable(LineTable):
    """A list of runs: a click highlights, a double click opens.

    Args:
        glyphs: The signs to draw with.
    """

    DEFAULT_CSS = "RunTable { scrollbar-size: 1 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Open", key_display="enter", tooltip="Show the run in the explorer, with its setup")
    ]

    class Opened(Message):
        """Somebody opened the highlighted run by enter or by a double click."""

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(glyphs, id="runs")
        self._entries: tuple[RunEntry, ...] = ()

    @property
    def current(self) -> RunEntry | None:
        """The highlighted run."""
        return self._entries[self.highlighted] if self.highlighted is not None and self._entries else None

    def show(self, entries: Sequence[RunEntry], marked: Collection[str]) -> None:
        """Draw the runs; the cursor stays on its run as long as that is there, else on its line."""
        width = self.line_width
        lines = [line(entry, width, self._glyphs, marked=entry.run_id in marked) for entry in entries]
        ids = [entry.run_id for entry in entries]
        if ids == [entry.run_id for entry in self._entries]:
            for number, prompt in enumerate(lines):
                self.replace_option_prompt_at_index(number, prompt)
            self._entries = tuple(entries)
            return
        here, number = self.current, self.highlighted or 0
        self._entries = tuple(entries)
        self.set_options([Option(prompt) for prompt in lines])
        if here is not None and here.run_id in ids:
            number = ids.index(here.run_id)
        self.highlighted = min(number, len(ids) - 1) if ids else None

    def action_select(self) -> None:
        """Enter."""
        if self.current is not None:
            self.post_message(self.Opened())

    async def on_click(self, event: events.Click) -> None:
        """A click highlights, a double click opens."""
        if self.highlight_clicked(event) and event.chain == 2:
            self.action_select()
