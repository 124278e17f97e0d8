"""A check box whose mark is there or not, so that more than its colour says so."""

from textual.widgets import Checkbox


class Tick(Checkbox):
    """A check box: X if it is chosen, empty if not."""

    BUTTON_INNER = " "

    def watch_value(self) -> None:
        """Show or hide the mark, and tell the others."""
        self.BUTTON_INNER = "X" if self.value else " "
        super().watch_value()

    def on_mount(self) -> None:
        """Show the first value."""
        self.BUTTON_INNER = "X" if self.value else " "
