"""A question with a line of text for an answer."""

from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from state.errors import CkptTuiError


class Ask(ModalScreen[None]):
    """Takes a line, and stays open with the reason as long as it is refused.

    Args:
        title: In the border.
        text: What is asked for.
        value: What the line begins with.
        take: Called with the line; raises a `CkptTuiError` if it will not do.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "Close", show=False)]

    def __init__(self, title: str, text: str, value: str, take: Callable[[str], Awaitable[None]]) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._text = text
        self._value = value
        self._take = take

    def compose(self) -> ComposeResult:
        """Text, line, and what is wrong with it."""
        with Vertical(classes="box small") as box:
            box.border_title = self._title
            box.border_subtitle = "enter take it · escape leave as it was"
            yield Static(self._text, markup=False)
            yield Input(self._value, id="answer", compact=True, select_on_focus=False)
            yield Static("", id="outcome", classes="-error", markup=False)

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        self._try(event.value)

    @work(exclusive=True)
    async def _try(self, line: str) -> None:
        try:
            await self._take(line)
        except CkptTuiError as error:
            self.app.bell()
            self.query_one("#outcome", Static).update(str(error))
        else:
            self.dismiss()

    def action_close(self) -> None:
        """Leave everything as it was."""
        self.dismiss()
