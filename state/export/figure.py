"""A run as a figure with four panels: save time, load time, size, improvement over TensorStore."""

import io
import math
import textwrap
from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from state.analysis.results import method_results
from state.analysis.rows import MethodResult, OperationSummary
from state.analysis.words import is_shown, limits_line, model_line, settings_line, speedup_words
from state.optimizations import BASELINE
from state.run.limits import limit_s
from state.run.records import Run
from state.units import format_bytes, format_factor, format_seconds, format_share

# Okabe and Ito's palette, which colour-blind readers tell apart (https://jfly.uni-koeln.de/color/).
SAVE_COLOUR: Final = "#0072B2"
LOAD_COLOUR: Final = "#E69F00"
SIZE_COLOUR: Final = "#009E73"
_DPI: Final = 150
_FOOTNOTE_COLUMNS: Final = 150
#: A whisker has room up to so many times the factor, and down to as small a part of it.
_WIDEST_WHISKER: Final = 3.0
#: So that no line runs through a label.
_BEHIND_TEXT: Final = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}


def render_figure(run: Run, file_format: str) -> bytes:
    """The figure as the bytes of a file.

    Args:
        run: What to draw; methods without results stand there with the reason.
        file_format: ``png`` or ``svg``.
    """
    results = method_results(run)
    footnotes = [line for sentence in run.advice for line in textwrap.wrap(f"! {sentence}", _FOOTNOTE_COLUMNS)]
    height = 4.0 + 0.55 * len(results) + 0.17 * len(footnotes)
    figure = Figure(figsize=(13, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join(filter(None, (model_line(run), settings_line(run), limits_line(run)))), fontsize=9)
    if footnotes:
        figure.supxlabel("\n".join(footnotes), fontsize=7.5, x=0.01, ha="left")
    (save, load), (size, improvement) = figure.subplots(2, 2)
    durable = "until on the device" if run.plan.durability == "durable" else "until the call returned"
    caches = sorted({result.load.cache for result in results if result.load and result.load.cache})
    _draw_times(
        save,
        results,
        [r.save for r in results],
        limit_s(run, "save"),
        SAVE_COLOUR,
        f"Save time, s ({durable}; whiskers: 95 %, dotted: a plain file)",
    )
    _draw_times(
        load,
        results,
        [r.load for r in results],
        limit_s(run, "load"),
        LOAD_COLOUR,
        f"Load time, s (cache {', '.join(caches) or run.plan.cache}; lower is better)",
    )
    _draw_sizes(size, results)
    _draw_improvements(improvement, results)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, dpi=_DPI, metadata={"Title": f"ckpt-tui {run.run_id}"})
    return buffer.getvalue()


def _prepare(axes: Axes, results: Sequence[MethodResult], title: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_yticks(range(len(results)), [result.method for result in results], fontsize=9)
    axes.set_ylim(len(results) - 0.4, -0.6)  # the first method on top
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(x=0.18)


def _write(axes: Axes, x: float, y: float, text: str) -> None:
    axes.annotate(text, (x, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, bbox=_BEHIND_TEXT)


def _missing(axes: Axes, row: int, result: MethodResult, otherwise: str = "") -> None:
    """Say in the row why it has no bar: the method's error, or the reason of this panel, or how far it is."""
    axes.annotate(
        f"{result.status}: {textwrap.shorten(result.error, 60, placeholder='…')}"
        if result.error
        else otherwise or result.status,
        (0, row),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        style="italic",
    )


def _draw_times(
    axes: Axes,
    results: Sequence[MethodResult],
    summaries: Sequence[OperationSummary | None],
    device_s: float | None,
    colour: str,
    title: str,
) -> None:
    _prepare(axes, results, title)
    for row, (result, summary) in enumerate(zip(results, summaries, strict=True)):
        if summary is None:
            _missing(axes, row, result)
            continue
        axes.barh(row, summary.median_s, color=colour, height=0.65)
        end = summary.median_s
        if summary.low_s is not None and summary.high_s is not None:
            spread = [[summary.median_s - summary.low_s], [summary.high_s - summary.median_s]]
            axes.errorbar(summary.median_s, row, xerr=spread, color="black", capsize=3, linewidth=1)
            end = summary.high_s
        share = f", {format_share(summary.limit_fraction)} of limit" if summary.limit_fraction is not None else ""
        _write(axes, end, row, f"{format_seconds(summary.median_s)}{share}")
    if device_s is not None:
        axes.axvline(device_s, color="black", linewidth=1, linestyle=":")
    axes.set_xlim(left=0)


def _draw_sizes(axes: Axes, results: Sequence[MethodResult]) -> None:
    _prepare(axes, results, "Size on disk, MB (files; the line is the tensors' own size)")
    for row, result in enumerate(results):
        if result.stored_bytes is None:
            _missing(axes, row, result)
            continue
        axes.barh(row, result.stored_bytes / 1e6, color=SIZE_COLOUR, height=0.65)
        files = f"{result.file_count:,} {'file' if result.file_count == 1 else 'files'}"
        _write(axes, result.stored_bytes / 1e6, row, f"{format_bytes(result.stored_bytes)}, {files}")
    logical = next((result.logical_bytes for result in results if result.logical_bytes), None)
    if logical:
        axes.axvline(logical / 1e6, color="black", linewidth=1, linestyle=":")
    axes.margins(x=0.35)
    axes.set_xlim(left=0)


def _draw_improvements(axes: Axes, results: Sequence[MethodResult]) -> None:
    """Factors on a log scale from 1, so that twice as fast and twice as slow are equally long.

    What is not shown to differ is a hollow bar.
    """
    _prepare(axes, results, f"Times as fast as {BASELINE} (log; hollow: not shown)")
    if not any(result.method == BASELINE and (result.save or result.load) for result in results):
        axes.set_axis_off()
        _write(axes, 0, 0, f"{BASELINE} has no result to compare with")
        return
    axes.set_xscale("log", base=10)
    ends = [1.0, 2.0]  # of everything that is drawn
    for row, result in enumerate(results):
        drawn = False
        for summary, colour, offset, hatch in (
            (result.save, SAVE_COLOUR, -0.19, ""),
            (result.load, LOAD_COLOUR, 0.19, "///"),
        ):
            if summary is None or (speedup := summary.speedup_vs_tensorstore) is None:
                continue
            drawn = True
            hollow = not is_shown(summary)
            axes.barh(
                row + offset,
                speedup - 1,
                left=1,
                height=0.36,
                facecolor="none" if hollow else colour,
                hatch=hatch,
                edgecolor=colour if hollow else "white",
                linewidth=0.8 if hollow else 0,
            )
            low, high = summary.speedup_low or speedup, summary.speedup_high or speedup
            if low < high:
                spread = [[speedup - low], [high - speedup]]
                axes.errorbar(speedup, row + offset, xerr=spread, color="black", capsize=2, linewidth=1)
            # An interval of three noisy rounds may reach far beyond everything else: it then leaves the panel.
            ends += (max(low, speedup / _WIDEST_WHISKER), min(high, speedup * _WIDEST_WHISKER))
            _write(axes, max(1.0, ends[-1]), row + offset, speedup_words(summary))
        if not drawn:
            _missing(axes, row, result, f"{BASELINE} has no result" if result.save or result.load else "")
    least, most = min(ends), max(ends)
    axes.set_xlim(least * 0.8, most * (most / least) ** 0.15 * 1.3)
    axes.axvline(1, color="black", linewidth=1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_factor(value)))
    if math.log10(most / least) > 1:
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: format_factor(value)))
        axes.tick_params(axis="x", which="minor", labelsize=7)
    handles = [
        axes.barh(0, 0, color=SAVE_COLOUR, label="save"),
        axes.barh(0, 0, color=LOAD_COLOUR, hatch="///", edgecolor="white", linewidth=0, label="load"),
    ]
    axes.legend(handles=handles, fontsize=8, loc="lower right", frameon=False)
