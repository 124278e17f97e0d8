"""The methods with their live state, one a line."""

from textual import events
from textual.message import Message
from textual.widgets.option_list import Option

from tui.text.glyphs import Glyphs
from tui.text.method_columns import Row, line
from tui.widgets.line_table import LineTable


class MethodTable(LineTable):
    """A list of methods: a click highlights, a click on the box selects, a double click opens.

    Args:
        glyphs: The signs to draw with.
    """

    #: Room for the scroll bar is kept: the columns must not change when a search leaves a few rows.
    DEFAULT_CSS = "MethodTable { scrollbar-size: 0 1; scrollbar-gutter: stable; scrollbar-background: $background; }"

    class Opened(Message):
        """Somebody opened the highlighted method by enter or by a double click."""

    class Ticked(Message):
        """Somebody clicked on a method's box."""

        def __init__(self, method: str) -> None:
            super().__init__()
            self.method = method

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(glyphs, id="methods")
        self._rows: tuple[Row, ...] = ()

    @property
    def current(self) -> Row | None:
        """The highlighted row."""
        return self._rows[self.highlighted] if self.highlighted is not None and self._rows else None

    def show(self, rows: tuple[Row, ...], *, all_again: bool = False) -> None:
        """Draw the rows; only those that changed, unless the width did."""
        width = self.line_width
        methods = [row.method for row in rows]
        if methods != [row.method for row in self._rows]:
            here = self.current.method if self.current is not None else ""
            self.clear_options()
            self.add_options([Option(line(row, width, self._glyphs)) for row in rows])
            self.highlighted = methods.index(here) if here in methods else 0 if rows else None
        else:
            for number, (row, old) in enumerate(zip(rows, self._rows, strict=True)):
                if all_again or row != old:
                    self.replace_option_prompt_at_index(number, line(row, width, self._glyphs))
        self._rows = rows

    def highlight(self, method: str) -> None:
        """Move the cursor to a method."""
        for number, row in enumerate(self._rows):
            if row.method == method:
                self.highlighted = number

    def action_select(self) -> None:
        """Enter."""
        if self.current is not None:
            self.post_message(self.Opened())

    async def on_click(self, event: events.Click) -> None:
        """A click never starts a run by itself: it highlights, the box selects, a double click opens."""
        if not self.highlight_clicked(event) or self.current is None:
            return
        position = event.get_content_offset(self)
        if position is not None and position.x < len(self._glyphs.chosen) + 1:
            self.post_message(self.Ticked(self.current.method))
        elif event.chain == 2:
            self.post_message(self.Opened())
