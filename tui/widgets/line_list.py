"""Lists of lines to choose from."""

import contextlib

from textual.widgets import OptionList


class LineList(OptionList):
    """A list whose pages can be turned at any time.

    Textual looks for the lines of a list that has just been filled, or is not to be seen, before there are any.
    """

    def action_page_up(self) -> None:
        """A page up, if there are lines."""
        with contextlib.suppress(KeyError):
            super().action_page_up()  # type: ignore[no-untyped-call]

    def action_page_down(self) -> None:
        """A page down, if there are lines."""
        with contextlib.suppress(KeyError):
            super().action_page_down()  # type: ignore[no-untyped-call]
