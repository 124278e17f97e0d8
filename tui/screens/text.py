"""A page of text to read, scroll and copy: details of a method, help."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class TextPage(ModalScreen[None]):
    """Shows text.

    Args:
        title: In the border.
        text: Plain, or with styles.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,question_mark,i", "close", "Close", show=False),
        Binding("y", "copy", "Copy", show=False),
    ]

    def __init__(self, title: str, text: str | Content) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._text = text if isinstance(text, Content) else Content(text)

    def compose(self) -> ComposeResult:
        """One scrolling text."""
        with Vertical(classes="box large") as box:
            box.border_title = self._title
            box.border_subtitle = "escape close · y copy · arrows scroll"
            with VerticalScroll():
                yield Static(self._text, id="text")

    def action_close(self) -> None:
        """Back."""
        self.dismiss()

    def action_copy(self) -> None:
        """Copy the whole text."""
        self.app.copy_to_clipboard(self._text.plain)
        self.notify("copied, if the terminal lets programs do that")
