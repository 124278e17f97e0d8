"""Bars in the terminal, by plotext. The only importer of plotext, whose figure is one global object."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from state.analysis.results import method_results
from state.plan import OPERATIONS
from state.run.limits import limit_s
from state.run.records import Run
from state.units import format_bytes, format_seconds

#: Okabe and Ito's blue, orange and green, as in the figure.
SAVE_PIXEL: Final = (0, 114, 178)
LOAD_PIXEL: Final = (230, 159, 0)
SIZE_PIXEL: Final = (0, 158, 115)


class Bar(NamedTuple):
    """One row of a chart: its name, its length, the length in words, and the character that it is drawn with."""

    name: str
    value: float
    words: str
    glyph: str = "█"


class Mark(NamedTuple):
    """A value that all bars are held against, and the character that its line is drawn with."""

    value: float
    glyph: str = "│"


def labels_of(bars: Sequence[Bar]) -> list[str]:
    """What stands left of each bar, all equally wide."""
    name_width = max((len(bar.name) for bar in bars), default=0)
    words_width = max((len(bar.words) for bar in bars), default=0)
    return [f"{bar.name:<{name_width}}  {bar.words:>{words_width}} " for bar in bars]


def bar_lines(bars: Sequence[Bar], *, width: int, mark: Mark | None = None) -> list[str]:
    """Horizontal bars without colour, one line each: its label and then its glyphs.

    Args:
        bars: From top to bottom; a value of zero or less gets no bar.
        width: Columns in all; bars are left out where not even a label has room.
        mark: Drawn as a line through all bars.
    """
    labels = labels_of(bars)
    if not bars or width <= len(labels[0]) or not any(bar.value > 0 for bar in bars):
        return labels
    import plotext  # takes a fifth of a second, and nobody needs it before the first result

    plotext.terminal.limit(False, False)  # otherwise sizes are cut to what it believes the terminal to be
    figure = plotext.figure
    figure.clear()
    figure.theme("simple")  # leaves the terminal's own background
    figure.axes(False)
    figure.plot_size(width, len(bars) + 1)  # the last line is the ruler, whose numbers the labels already say
    figure.draw(
        figure.bar(
            labels[::-1],
            [max(bar.value, 0.0) for bar in reversed(bars)],
            orientation="horizontal",
            marker=[plotext.marker(bar.glyph) for bar in reversed(bars)],
            width=0.01,  # a thick bar's rounded edge may paint over its neighbour's row, with the wrong length
        )
    )
    top = max(bar.value for bar in bars)
    figure.ruler("x").lim(0, top)
    figure.ruler("y").lim(0.5, len(bars) + 0.5)
    lines = [line.rstrip() for line in figure.build().string(colorless=True).splitlines()[: len(bars)]]
    return [_marked(line, len(labels[0]), width, top, mark) for line in lines] if mark is not None else lines


def _marked(line: str, label_width: int, width: int, top: float, mark: Mark) -> str:
    """A bar with the line through it, at the column where a bar of that value would end."""
    column = label_width + min(width - label_width - 1, int(mark.value / top * (width - label_width)))
    return f"{line:<{column}}"[:column] + mark.glyph + line[column + 1 :]


def bar_chart(title: str, bars: Sequence[Bar], *, width: int, pixel: tuple[int, int, int], colour: bool) -> str:
    """A horizontal bar chart for standard output, one line a bar under its title.

    Args:
        title: With the unit, and which direction is better.
        bars: From top to bottom.
        width: Columns in all.
        pixel: Red, green and blue from 0 to 255.
        colour: Whether the terminal may be sent colours.

    Returns:
        Lines without a newline at the end; empty without bars.
    """
    if not bars:
        return ""
    lines, label_width = bar_lines(bars, width=width), len(labels_of(bars)[0])
    if colour:
        red, green, blue = pixel
        start = f"\x1b[38;2;{red};{green};{blue}m"
        lines = [f"{line[:label_width]}{start}{line[label_width:]}\x1b[0m" for line in lines]
    return "\n".join([title, *lines])


def run_charts(run: Run, *, width: int, colour: bool, ascii_only: bool = False) -> str:
    """Save time, load time and size of every method that has them, and the device's limit."""
    glyph, results = "#" if ascii_only else "█", method_results(run)
    saves = [Bar(r.method, r.save.median_s, format_seconds(r.save.median_s), glyph) for r in results if r.save]
    loads = [Bar(r.method, r.load.median_s, format_seconds(r.load.median_s), glyph) for r in results if r.load]
    for bars, operation in zip((saves, loads), OPERATIONS, strict=True):
        device_s = limit_s(run, operation)
        if bars and device_s is not None:
            bars.append(Bar("plain file", device_s, format_seconds(device_s), "-" if ascii_only else "░"))
    sizes = [
        Bar(r.method, r.stored_bytes, format_bytes(r.stored_bytes), glyph)
        for r in results
        if r.stored_bytes is not None
    ]
    charts = [
        bar_chart(title, bars, width=width, pixel=pixel, colour=colour)
        for title, bars, pixel in (
            ("Save time, s (lower is better)", saves, SAVE_PIXEL),
            ("Load time, s (lower is better)", loads, LOAD_PIXEL),
            ("Size on disk (lower is better)", sizes, SIZE_PIXEL),
        )
    ]
    return "\n\n".join(filter(None, charts))
