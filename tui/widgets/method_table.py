"""The methods with their live state, one a line."""

from textual import events
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tui.rows import Glyphs, Row, line


class MethodTable(OptionList):
    """A list of methods: a click highlights, a click on the box selects, a double click opens.

    Args:
        glyphs: The signs to draw with.
    """

    DEFAULT_CSS = """
    MethodTable { border: none; padding: 0; height: 1fr; background: transparent; scrollbar-size: 0 0; }
    MethodTable:focus { border: none; background: transparent; }
    MethodTable > .option-list--option { padding: 0; text-wrap: nowrap; }
    """

    class Opened(Message):
        """Somebody opened the highlighted method by enter or by a double click."""

    class Ticked(Message):
        """Somebody clicked on a method's box."""

        def __init__(self, method: str) -> None:
            super().__init__()
            self.method = method

    class Resized(Message):
        """There is more or less room for columns."""

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(id="methods")
        self._glyphs = glyphs
        self._rows: tuple[Row, ...] = ()

    @property
    def current(self) -> Row | None:
        """The highlighted row."""
        return self._rows[self.highlighted] if self.highlighted is not None and self._rows else None

    def show(self, rows: tuple[Row, ...], *, all_again: bool = False) -> None:
        """Draw the rows; only those that changed, unless the width did."""
        width = max(20, self.scrollable_content_region.width)
        if len(rows) != len(self._rows):
            self.clear_options()
            self.add_options([Option(line(row, width, self._glyphs), id=None) for row in rows])
            self.highlighted = 0 if rows else None
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

    def on_resize(self) -> None:
        """The columns follow the width."""
        self.post_message(self.Resized())

    def action_select(self) -> None:
        """Enter."""
        if self.current is not None:
            self.post_message(self.Opened())

    async def on_click(self, event: events.Click) -> None:
        """A click never starts a run by itself: it highlights, the box selects, a double click opens."""
        event.prevent_default()
        number = event.style.meta.get("option")
        if number is None:
            return
        self.highlighted = number
        if self.current is None:
            return
        position = event.get_content_offset(self)
        if position is not None and position.x < len(self._glyphs.chosen) + 1:
            self.post_message(self.Ticked(self.current.method))
        elif event.chain == 2:
            self.post_message(self.Opened())
