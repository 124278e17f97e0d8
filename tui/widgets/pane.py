"""A part of the explorer's screen with a border and a title."""

from textual.containers import Vertical


class Pane(Vertical):
    """A bordered part that can have the whole screen.

    Args:
        name: Of the pane; its id is ``NAME-pane``.
        title: In the border.
        keys: Its own keys, in the lower border.
    """

    ALLOW_MAXIMIZE = True
    DEFAULT_CSS = """
    Pane { border: round $secondary 60%; border-title-color: $foreground; border-subtitle-color: $foreground 60%; }
    Pane:focus-within { border: round $primary; border-title-color: $primary; }
    """

    def __init__(self, name: str, title: str, keys: str = "") -> None:
        super().__init__(id=f"{name}-pane")
        self.border_title = title
        self.border_subtitle = keys
