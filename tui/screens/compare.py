"""Two kept runs side by side."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from state.analysis.comparison import compare
from state.history.noise_floor import Noise
from state.run.records import Run
from state.stats.between_runs import ASSUMED
from tui.keys import borrowed
from tui.text.compare import compare_lines, floor_lines
from tui.text.styled import Line, for_screen


class CompareScreen(Screen[None]):
    """What changed from one run to another, and what differs besides.

    Args:
        before: The first run.
        after: The second.
        floor: What noise between equal runs does there, if that is known.
        ascii_only: Draw with plain characters.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "swap", "Swap A and B"),
        borrowed("copy", action="copy", description="Copy"),
        Binding("question_mark", "app.help", "Help", show=False),
        Binding("escape,q,h", "dismiss", "Back", key_display="esc"),
    ]
    DEFAULT_CSS = """
    CompareScreen { background: $background; }
    CompareScreen #compare-title { height: 1; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    CompareScreen VerticalScroll { height: 1fr; padding: 1 1 0 1; scrollbar-size: 1 1; }
    """

    def __init__(self, before: Run, after: Run, floor: Noise | None, *, ascii_only: bool) -> None:
        super().__init__(classes="-ascii" if ascii_only else "")
        self._before, self._after = before, after
        self._floor = floor

    def compose(self) -> ComposeResult:
        """One scrolling page."""
        yield Static(
            Content.assemble(
                (" ckpt-tui ", "bold $primary"),
                (" Compare ", "bold"),
                (" B compared with A", "$foreground 60%"),
            ),
            id="compare-title",
        )
        with VerticalScroll():
            yield Static(id="compare")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Arrows scroll."""
        self.query_one(VerticalScroll).focus()
        self._draw()

    def _lines(self) -> list[Line]:
        between = self._floor.between if self._floor is not None else ASSUMED
        found = compare(self._before, self._after, between=between)
        return [*compare_lines(self._before, self._after, found), *floor_lines(self._floor)]

    def _draw(self) -> None:
        self.query_one("#compare", Static).update(for_screen(self._lines()))

    def action_swap(self) -> None:
        """The other way round."""
        self._before, self._after = self._after, self._before
        self._draw()

    def action_copy(self) -> None:
        """Copy it as text."""
        self.app.copy_to_clipboard(for_screen(self._lines()).plain)
        self.notify("copied, if the terminal lets programs do that")
