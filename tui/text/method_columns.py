"""The table of methods: what each row knows, and how it is written into the columns that a width has room for."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from textual.content import Content

from state.analysis.rows import MethodResult, OperationSummary
from state.analysis.words import bound_words, limit_words, speedup_words
from state.live.explorer import Explorer
from state.live.session import Progress
from state.optimizations import CELLS, FORMATS
from state.plan import OPERATIONS, Operation
from state.stats.intervals import half_width
from state.units import format_bytes, format_rate, format_seconds
from tui.text.column_fitting import Column, cut, fitting
from tui.text.glyphs import STATE_STYLES, Glyphs, RowState


class Row(NamedTuple):
    """One method on the screen.

    Attributes:
        method: Its name.
        state: What goes on with it now.
        chosen: Whether it takes part in the next run.
        is_cell: Whether the three switches make it.
        result: What was measured of it, or None.
        operation: What is being measured, while it runs.
        progress: How far that is, while it runs.
        other_run: The run that measured it, where that is not the newest.
        missing: The packages that it lacks, with commas.
    """

    method: str
    state: RowState
    chosen: bool
    is_cell: bool
    result: MethodResult | None = None
    operation: Operation | None = None
    progress: Progress | None = None
    other_run: str = ""
    missing: str = ""


def rows(explorer: Explorer, missing: Mapping[str, str]) -> tuple[Row, ...]:
    """Every method with its live state.

    Args:
        explorer: What is known.
        missing: Method -> the packages that it lacks, with commas.
    """
    known = {result.method: result for result in explorer.results}
    newest = explorer.shown.run_id if explorer.shown is not None else ""
    run, progress = explorer.session.run, explorer.session.progress
    current = run.records[progress.trial].trial if run is not None and progress is not None else None
    chosen, waiting = set(explorer.chosen), explorer.queued
    table = []
    for method in explorer.available:
        result = known.get(method)
        running = current is not None and current.method == method and result is not None
        table.append(
            Row(
                method,
                "running" if running else "queued" if method in waiting else _state(result),
                method in chosen,
                method == explorer.cell,
                result,
                current.operation if running and current is not None else None,
                progress if running else None,
                result.run_id if result is not None and result.run_id != newest else "",
                missing.get(method, ""),
            )
        )
    return tuple(table)


def _state(result: MethodResult | None) -> RowState:
    if result is None:
        return "idle"
    if result.status == "failed":
        return "failed"
    if result.status == "cancelled" or result.save is None or result.load is None:
        return "cancelled"
    return "done"


#: Of what cannot run here.
_ABSENT: Final = "$foreground 40%"
_METHOD_WIDTH: Final = 26


def _time(operation: Operation, row: Row, glyphs: Glyphs) -> str:
    if row.operation == operation and row.progress is not None:
        share = row.progress.fraction
        filled = round(6 * share)
        return f"{glyphs.estimate}{share:.0%} {glyphs.full * filled}{glyphs.empty * (6 - filled)}"
    summary = _summary(row, operation)
    if summary is None:
        return ""
    width = half_width(summary.low_s, summary.high_s)
    median = format_seconds(summary.median_s)
    if width is None:
        return median
    return f"{median} {glyphs.spread}{f'{width:.0%}' if width < 1 else '>99%'}"


def _summary(row: Row, operation: Operation) -> OperationSummary | None:
    return row.result.of(operation) if row.result is not None else None


def _factor(operation: Operation, row: Row, glyphs: Glyphs) -> str:
    summary = _summary(row, operation)
    if summary is None:
        return ""
    return speedup_words(summary).replace("≈", glyphs.estimate)


def _rate(operation: Operation, row: Row) -> str:
    summary = _summary(row, operation)
    return format_rate(summary.rate_bytes_per_s) if summary is not None else ""


def _switches(row: Row, _room: int, glyphs: Glyphs) -> str:
    switches = CELLS.get(row.method) or FORMATS.get(row.method) or ()
    return " ".join(glyphs.on if on else glyphs.off for on in switches)


def _size(row: Row, *_: object) -> str:
    stored = row.result.stored_bytes if row.result is not None else None
    return format_bytes(stored) if stored is not None else ""


def _files(row: Row, *_: object) -> str:
    count = row.result.file_count if row.result is not None else None
    return f"{count:,}" if count is not None else ""


def _limit(row: Row, *_: object) -> str:
    return limit_words(row.result).replace("% / ", "/") if row.result is not None else ""


def _bound(row: Row, *_: object) -> str:
    return bound_words(row.result) if row.result is not None else ""


def _rounds(row: Row, *_: object) -> str:
    return str(row.result.rounds_done) if row.result is not None and row.result.rounds_done else ""


def _memory(row: Row, *_: object) -> str:
    save = _summary(row, "save")
    return format_bytes(save.extra_rss_bytes) if save is not None and save.extra_rss_bytes is not None else ""


_SAVE: Final[Column[Row]] = Column("save s", 13, lambda row, _, glyphs: _time("save", row, glyphs))
_LOAD: Final[Column[Row]] = Column("load s", 13, lambda row, _, glyphs: _time("load", row, glyphs))
#: The columns that follow, the dearest first, as far as there is room.
_OPTIONAL: Final[tuple[Column[Row], ...]] = (
    Column("save x", 9, lambda row, _, glyphs: _factor("save", row, glyphs)),
    Column("load x", 9, lambda row, _, glyphs: _factor("load", row, glyphs)),
    Column("of limit", 9, _limit),
    Column("size", 9, _size),
    Column("c k z", 6, _switches),
    Column("rounds", 7, _rounds),
    Column("files", 8, _files),
    Column("bound by", 20, _bound),
    Column("save rate", 11, lambda row, *_: _rate("save", row)),
    Column("load rate", 11, lambda row, *_: _rate("load", row)),
    Column("save mem", 9, _memory),
    Column("from run", 21, lambda row, *_: row.other_run),
)


def columns_for(width: int, glyphs: Glyphs) -> tuple[Column[Row], ...]:
    """The columns that fit beside the name, in the order in which they stand."""
    room = width - len(_front(glyphs)) - _METHOD_WIDTH
    times = (_SAVE, _LOAD)
    optional, _ = fitting(_OPTIONAL, room - sum(column.width for column in times))
    chosen = (*times, *optional)
    switches = [column for column in chosen if column.write is _switches]
    return (*switches, *(column for column in chosen if column not in switches))


def _front(glyphs: Glyphs) -> str:
    """Room for the two signs before the name."""
    return " " * (len(glyphs.chosen) + 3)


def heading(width: int, glyphs: Glyphs) -> Content:
    """The line above the rows."""
    cells = "".join(f"{column.heading:>{column.width}}" for column in columns_for(width, glyphs))
    return Content.styled(f"{_front(glyphs)}{'method':<{_METHOD_WIDTH}}{cells}", "bold $foreground 70%")


def line(row: Row, width: int, glyphs: Glyphs) -> Content:
    """A row, with a sign behind its state where memory was not at hand.

    A method without figures says instead what became of it.
    """
    style = STATE_STYLES[row.state]
    return Content.assemble(
        (f"{glyphs.chosen if row.chosen else glyphs.left_out} ", "$primary" if row.chosen else "$foreground 40%"),
        *_signs(row, glyphs, style),
        (
            f"{cut(row.method, _METHOD_WIDTH, glyphs):<{_METHOD_WIDTH}}",
            "bold $accent" if row.is_cell else _ABSENT if row.missing else "$foreground",
        ),
        *_cells(row, width - len(_front(glyphs)) - _METHOD_WIDTH, width, glyphs, style),
    )


def _signs(row: Row, glyphs: Glyphs, style: str) -> Sequence[tuple[str, str]]:
    """The state, and memory of save or load that was not all at hand; a blank where it was, or where nobody knows."""
    states = {summary.memory for operation in OPERATIONS if (summary := _summary(row, operation)) is not None}
    memory = glyphs.partly if "partly at hand" in states else glyphs.as_found if "as found" in states else ""
    state = glyphs.states[row.state]
    return ((state, style), (memory, "$warning")) if memory else ((f"{state} ", style),)


def _sentence(words: str, room: int, glyphs: Glyphs) -> str:
    """In one line, with a blank on either side."""
    return f" {cut(' '.join(words.split()), room - 1, glyphs)}"


def _cells(row: Row, room: int, width: int, glyphs: Glyphs, style: str) -> Sequence[tuple[str, str]]:
    columns = columns_for(width, glyphs)
    if row.state == "failed" and row.result is not None:
        return ((_sentence(f"failed: {row.result.error}  (enter: why)", room, glyphs), style),)
    if row.missing and row.result is None:
        return ((_sentence(f"needs {row.missing}  (enter: how)", room, glyphs), _ABSENT),)
    parts = []
    for column in columns:
        text = column.write(row, column.width, glyphs)
        if not text and column is _SAVE and row.state in ("queued", "cancelled"):
            text = "stopped" if row.state == "cancelled" else "queued"
        live = row.state == "running" and column.heading == f"{row.operation} s"
        parts.append((f"{text:>{column.width}}", style if live or text in ("queued", "stopped") else "$foreground"))
    return parts
