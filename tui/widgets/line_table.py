"""What the table of methods and the table of runs share: lines in columns that follow the width."""

from textual import events
from textual.message import Message

from tui.text.glyphs import Glyphs
from tui.widgets.line_list import LineList


class LineTable(LineList):
    """A list without a frame of its own, whose lines are written anew when there is more or less room.

    Args:
        glyphs: The signs to draw with.
        id: Of the widget.
    """

    DEFAULT_CSS = """
    LineTable { border: none; padding: 0; height: 1fr; background: transparent; }
    LineTable:focus { border: none; background: transparent; }
    LineTable > .option-list--option { padding: 0; text-wrap: nowrap; }
    """

    class Resized(Message):
        """There is more or less room for columns."""

    def __init__(self, glyphs: Glyphs, *, id: str) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs

    @property
    def line_width(self) -> int:
        """Columns for a line."""
        return max(20, self.scrollable_content_region.width)

    def on_resize(self) -> None:
        """The columns follow the width."""
        self.post_message(self.Resized())

    def watch_show_vertical_scrollbar(self) -> None:
        """A bar that comes or goes takes or gives room, of which no event tells."""
        self.post_message(self.Resized())

    def highlight_clicked(self, event: events.Click) -> bool:
        """Move the cursor to the line under a click, instead of choosing it. Returns whether there was one."""
        event.prevent_default()
        number = event.style.meta.get("option")
        if number is None:
            return False
        self.highlighted = number
        return True
