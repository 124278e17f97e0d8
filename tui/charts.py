"""Bars in the terminal, by plotext. The only importer of plotext, whose figure is one global object."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from state.results import MethodResult
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


def labels_of(bars: Sequence[Bar]) -> list[str]:
    """What stands left of each bar, all equally wide."""
    name_width = max((len(bar.name) for bar in bars), default=0)
    words_width = max((len(bar.words) for bar in bars), default=0)
    return [f"{bar.name:<{name_width}}  {bar.words:>{words_width}} " for bar in bars]


def bar_lines(bars: Sequence[Bar], *, width: int) -> list[str]:
    """Horizontal bars without colour, one line each: its label and then its glyphs.

    Args:
        bars: From top to bottom; a value of zero or less gets no bar.
        width: Columns in all; bars are left out where not even a label has room.
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
    figure.ruler("x").lim(0, max(bar.value for bar in bars))
    figure.ruler("y").lim(0.5, len(bars) + 0.5)
    return [line.rstrip() for line in figure.build().string(colorless=True).splitlines()[: len(bars)]]


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


def run_charts(results: Sequence[MethodResult], *, width: int, colour: bool, ascii_only: bool = False) -> str:
    """Save time, load time and size of every method that has them."""
    glyph = "#" if ascii_only else "█"
    saves = [Bar(r.method, r.save.median_s, format_seconds(r.save.median_s), glyph) for r in results if r.save]
    loads = [Bar(r.method, r.load.median_s, format_seconds(r.load.median_s), glyph) for r in results if r.load]
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
