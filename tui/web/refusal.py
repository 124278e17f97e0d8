"""What a page shows in the place of an explorer that cannot start."""

from textual.app import App, ComposeResult
from textual.widgets import Static


class Refusal(App[None]):
    """One sentence, until the page is closed or loaded again.

    Args:
        sentence: What is wrong, and what to do.
    """

    CSS = "Screen { align: center middle; } Static { width: auto; max-width: 80%; }"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, sentence: str) -> None:
        super().__init__()
        self._sentence = sentence

    def compose(self) -> ComposeResult:
        """The sentence."""
        yield Static(f"ckpt-tui: {self._sentence}", markup=False)
