"""A question with two answers, or a notice with one."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static


class Question(ModalScreen[bool]):
    """Asks, and gives back whether the answer was yes; escape is no.

    Args:
        title: In the border.
        text: What is asked or told.
        yes: Label of the first button.
        no: Label of the second; a notice has none.
        safe: Whether yes loses nothing, so that enter may mean it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "answer(False)", "No", show=False),
        Binding("y", "answer(True)", "Yes", show=False),
        Binding("left,right", "app.focus_next", "Other button", show=False),
    ]

    def __init__(self, title: str, text: str, yes: str, no: str | None = None, *, safe: bool = False) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._text = text
        self._yes = yes
        self._no = no
        self._safe = safe or no is None

    def compose(self) -> ComposeResult:
        """Text and buttons."""
        with Vertical(classes="box small") as box:
            box.border_title = self._title
            yield Static(self._text, markup=False)
            with Horizontal(classes="buttons"):
                yield Button(self._yes, id="yes", variant="primary", compact=True)
                if self._no is not None:
                    yield Button(self._no, id="no", compact=True)

    def on_mount(self) -> None:
        """Enter takes the answer that loses nothing."""
        self.query_one("#yes" if self._safe else "#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Answer by key."""
        self.dismiss(yes)
