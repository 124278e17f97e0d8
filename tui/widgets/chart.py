"""The bar chart of the explorer."""

from collections.abc import Mapping
from typing import Final

from textual.content import Content
from textual.widgets import Static

from state.analysis.rows import MethodResult, OperationSummary
from state.analysis.words import is_shown, speedup_words
from state.plan import OPERATIONS
from state.run.limits import limit_s
from state.run.records import Run
from state.units import format_bytes, format_seconds
from tui.text.chart_views import TITLES, VIEWS, View
from tui.text.charts import Bar, Mark, bar_lines, labels_of

#: A glyph for each operation, so that colour is not all that tells them apart.
#: Pale is what is no method's, and a difference that is not shown.
_GLYPHS: Final = {"save": "█", "load": "▓", "size": "▒", "pale": "░"}
_ASCII_GLYPHS: Final = {"save": "#", "load": "=", "size": "+", "pale": "-"}
_LINES: Final = {False: "│", True: "|"}


class Chart(Static):
    """Bars of everything that was measured so far, in one of five views.

    Args:
        ascii_only: Draw with plain characters.
    """

    DEFAULT_CSS = "Chart { height: auto; padding: 0 1; }"

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__(id="chart")
        self._glyphs = _ASCII_GLYPHS if ascii_only else _GLYPHS
        self._line = _LINES[ascii_only]
        self._limits_s: Mapping[View, float | None] = {}

    def show(self, run: Run | None, results: tuple[MethodResult, ...], view: View, width: int, height: int) -> None:
        """Draw one view of the results, and the next ones below it as far as there is room.

        Args:
            run: Whose limits are drawn, too.
            results: Rows of the table.
            view: What to show first.
            width: Columns.
            height: Lines.
        """
        self._limits_s = {operation: limit_s(run, operation) for operation in OPERATIONS} if run is not None else {}
        parts = self._part(results, view, width)
        if not parts:
            self.update(Content.styled(_nothing(results, view), "$foreground 60%"))
            return
        for number in range(1, len(VIEWS)):
            other = VIEWS[(VIEWS.index(view) + number) % len(VIEWS)]
            if other == "stall" and not _any_stalls_less(results):
                continue  # it would be the chart of save times once more
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
        device_s = self._limits_s.get(view)
        mark = Mark(device_s, self._line) if device_s is not None else None
        for bar, text in zip(bars, bar_lines(bars, width=max(10, width - 2), mark=mark), strict=True):
            kind = kinds[bar.glyph]
            style = "$foreground 60%" if kind == "pale" else f"${kind}"
            parts += [(text[:label_width], "$foreground"), (f"{text[label_width:]}\n", style)]
        return parts

    def _bars(self, results: tuple[MethodResult, ...], view: View) -> list[Bar]:
        glyphs = self._glyphs
        if view == "size":
            return [
                Bar(r.method, r.stored_bytes, format_bytes(r.stored_bytes), glyphs["size"])
                for r in results
                if r.stored_bytes is not None
            ]
        if view == "stall":
            stalls_s = [(r.method, _stall_s(r.save)) for r in results if r.save is not None]
            return [Bar(method, stall_s, format_seconds(stall_s), glyphs["save"]) for method, stall_s in stalls_s]
        bars = []
        for result in results:
            for operation, summary in (("save", result.save), ("load", result.load)):
                if summary is None:
                    continue
                if view == operation:
                    bars.append(Bar(result.method, summary.median_s, format_seconds(summary.median_s), glyphs[view]))
                elif view == "speed-up" and summary.speedup_vs_tensorstore is not None:
                    name = f"{result.method} {operation}"
                    glyph = glyphs[operation if is_shown(summary) else "pale"]
                    bars.append(Bar(name, summary.speedup_vs_tensorstore, speedup_words(summary), glyph))
        device_s = self._limits_s.get(view)
        if bars and device_s is not None:
            bars.append(Bar("plain file", device_s, format_seconds(device_s), glyphs["pale"]))
        return bars


def _stall_s(save: OperationSummary) -> float:
    """Without asynchrony training waits for the whole save."""
    return save.median_s if save.stall_median_s is None else save.stall_median_s


def _any_stalls_less(results: tuple[MethodResult, ...]) -> bool:
    return any(result.save is not None and result.save.stall_median_s is not None for result in results)


def _nothing(results: tuple[MethodResult, ...], view: View) -> str:
    if view == "speed-up" and any(result.save is not None for result in results):
        return "tensorstore is what others are compared with, and it has no result yet"
    return "bars grow here as results come"
