"""Which switch did what, as far as the cells are measured; what is missing can be measured from here."""

from collections.abc import Mapping
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widgets import Footer, Static

from state.analysis.conclusion import conclusion
from state.analysis.effects import Effects, Measure, effects
from state.analysis.ranking import fastest_lines
from state.live.explorer import Explorer, is_same_run
from state.plan import CELL_NAMES
from tui.keys import borrowed
from tui.screens.live import LiveScreen
from tui.text.glyphs import Glyphs
from tui.text.styled import for_screen
from tui.text.why import MEASURES, missing_line, why_lines
from tui.widgets.live_strip import LiveStrip

#: From here on two measures stand side by side.
_TWO_COLUMNS: Final = 170
_NAMES: Final = tuple(MEASURES)


class WhyScreen(LiveScreen):
    """The 2x2x2 experiment under the settings chosen now.

    Args:
        glyphs: The signs to draw with.
        keys: Action -> key.
        ascii_only: Draw with plain characters.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        borrowed("run", action="app.run_cells", description="Measure the cells"),
        borrowed("stop"),
        borrowed("chart", action="next_measure", description="Next measure"),
        borrowed("copy", action="copy", description="Copy"),
        Binding("question_mark", "app.help", "Help", show=False),
        Binding("escape,q", "app.pop_screen", "Back", key_display="esc"),
    ]
    DEFAULT_CSS = """
    WhyScreen { background: $background; }
    WhyScreen #why-title { height: 1; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    WhyScreen #why-said { height: auto; padding: 0 1; margin: 1 0 0 0; }
    WhyScreen #why-missing { height: auto; padding: 0 1; color: $warning; }
    WhyScreen VerticalScroll { width: 1fr; height: 1fr; padding: 0 1; margin: 1 0 0 0; scrollbar-size: 1 1;
        scrollbar-gutter: stable; }
    WhyScreen .second { display: none; }
    WhyScreen.-two .second { display: block; }
    """

    def __init__(self, glyphs: Glyphs, keys: Mapping[str, str], *, ascii_only: bool) -> None:
        super().__init__(classes="-ascii" if ascii_only else "")
        self._glyphs = glyphs
        self._keys = keys
        self._ascii_only = ascii_only
        self._measure: Measure = "save"
        self._explorer: Explorer | None = None
        self._found: Mapping[Measure, Effects] = {}

    def compose(self) -> ComposeResult:
        """What is shown on top, the figures below."""
        yield Static(id="why-title")
        yield Static(id="why-said", markup=False)
        yield Static(id="why-missing", markup=False)
        with Horizontal():
            with VerticalScroll(id="why-scroll"):
                yield Static(id="why-first")
            with VerticalScroll(classes="second", can_focus=False):
                yield Static(id="why-second")
        yield LiveStrip(ascii_only=self._ascii_only)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Arrows scroll."""
        self.query_one("#why-scroll").focus()

    def show(self, explorer: Explorer, hint: str) -> None:
        """Draw a state; `hint` is what to do where nothing runs."""
        old, self._explorer = self._explorer, explorer
        if not self.is_mounted:
            return
        self.query_one(LiveStrip).show(explorer, "")  # the hint speaks of keys of the main screen
        if old is None or not is_same_run(old, explorer):
            self._found = effects(explorer.shown) if explorer.shown is not None else {}
            self._draw()

    def on_resize(self, event: Resize) -> None:
        """The figures follow the width."""
        self.set_class(event.size.width >= _TWO_COLUMNS, "-two")
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        if self._explorer is None:
            return
        shown = [self._measure]
        if self.has_class("-two"):
            shown.append(_NAMES[(_NAMES.index(self._measure) + 1) % len(_NAMES)])
        tabs = [
            (f" {MEASURES[name]} ", "b $primary reverse" if name in shown else "$foreground 70%") for name in _NAMES
        ]
        title = [(" Why ", "bold $primary"), *tabs, (f"  {self._keys['chart']}: next", "$foreground 60%")]
        self.query_one("#why-title", Static).update(Content.assemble(*title))
        said, missing = self.query_one("#why-said", Static), self.query_one("#why-missing", Static)
        if not self._found:
            said.update("Nothing is measured under these settings yet.")
            missing.update(f"{self._keys['run']} measures all {len(CELL_NAMES)} cells.")
            for name in ("#why-first", "#why-second"):
                self.query_one(name, Static).update("")
            return
        run = self._explorer.shown
        # Where the experiment is whole, its conclusion names the fastest cell, and there is no room for more.
        best = fastest_lines(run) if run is not None and self._found["save"].missing else ()
        said.update("\n".join((conclusion(self._found), *best)).replace("≈", self._glyphs.estimate))
        remedy = "A run goes on" if self._explorer.running else f"{self._keys['run']} measures them"
        missing.update(missing_line(self._found, remedy))
        missing.display = bool(self._found["save"].missing)
        width = self.query_one("#why-scroll").scrollable_content_region.width
        for widget, measure in zip(("#why-first", "#why-second"), shown, strict=False):
            lines = why_lines(self._found[measure], self._explorer.plan, width=max(20, width), glyphs=self._glyphs)
            self.query_one(widget, Static).update(for_screen(lines))

    def action_next_measure(self) -> None:
        """Save, load, size."""
        self._measure = _NAMES[(_NAMES.index(self._measure) + 1) % len(_NAMES)]
        self._draw()

    def action_copy(self) -> None:
        """Copy everything as text."""
        if self._explorer is None or not self._found:
            return
        plan = self._explorer.plan
        texts = [conclusion(self._found)]
        texts += [for_screen(why_lines(f, plan, width=100, glyphs=self._glyphs)).plain for f in self._found.values()]
        self.app.copy_to_clipboard("\n\n".join(texts))
        self.notify("copied, if the terminal lets programs do that")
