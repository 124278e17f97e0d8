"""The bar chart of the explorer."""

from typing import Final

from textual.content import Content
from textual.widgets import Static

from state.export import speedup_words
from state.results import MethodResult
from state.units import format_bytes, format_seconds
from tui.charts import Bar, bar_lines, labels_of
from tui.views import TITLES, VIEWS, View

#: A glyph for each operation, so that colour is not all that tells them apart.
_GLYPHS: Final = {"save": "█", "load": "▓", "size": "▒"}
_ASCII_GLYPHS: Final = {"save": "#", "load": "=", "size": "+"}


class Chart(Static):
    """Bars of everything that was measured so far, in one of four views.

    Args:
        ascii_only: Draw with plain characters.
    """

    DEFAULT_CSS = "Chart { height: auto; padding: 0 1; }"

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__(id="chart")
        self._glyphs = _ASCII_GLYPHS if ascii_only else _GLYPHS

    def show(self, results: tuple[MethodResult, ...], view: View, width: int, height: int) -> None:
        """Draw one view of the results, and the next ones below it as far as there is room."""
        parts = self._part(results, view, width)
        if not parts:
            self.update(Content.styled(_nothing(results, view), "$foreground 60%"))
            return
        for number in range(1, len(VIEWS)):
            other = VIEWS[(VIEWS.index(view) + number) % len(VIEWS)]
            more = self._part(results, other, width)
            if not more or len(parts) // 2 + len(more) // 2 + 2 * number > height:
                break
            parts += [(f"\n{TITLES[other]}\n", "bold"), *more]
        self.update(Content.assemble(*parts))

    def _part(self, results: tuple[MethodResult, ...], view: View, width: int) -> list[tuple[str, str]]:
        """Two pieces a line: the label and the bar."""
        bars = self._bars(results, view)
        if not bars:
            return []
        label_width = len(labels_of(bars)[0])
        kinds = {glyph: kind for kind, glyph in self._glyphs.items()}
        parts: list[tuple[str, str]] = []
        for bar, text in zip(bars, bar_lines(bars, width=max(10, width - 2)), strict=True):
            parts += [(text[:label_width], "$foreground"), (f"{text[label_width:]}\n", f"${kinds[bar.glyph]}")]
        return parts

    def _bars(self, results: tuple[MethodResult, ...], view: View) -> list[Bar]:
        glyphs = self._glyphs
        if view == "size":
            return [
                Bar(r.method, r.stored_bytes, format_bytes(r.stored_bytes), glyphs["size"])
                for r in results
                if r.stored_bytes is not None
            ]
        bars = []
        for result in results:
            for operation, summary in (("save", result.save), ("load", result.load)):
                if summary is None:
                    continue
                if view == operation:
                    bars.append(Bar(result.method, summary.median_s, format_seconds(summary.median_s), glyphs[view]))
                elif view == "speed-up" and summary.speedup_vs_tensorstore is not None:
                    name = f"{result.method} {operation}"
                    bars.append(Bar(name, summary.speedup_vs_tensorstore, speedup_words(summary), glyphs[operation]))
        return bars


def _nothing(results: tuple[MethodResult, ...], view: View) -> str:
    if view == "speed-up" and any(result.save is not None for result in results):
        return "tensorstore is what others are compared with, and it has no result yet"
    return "bars grow here as results come"
