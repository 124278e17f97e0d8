"""A run at a glance: its table in the width that there is, and what it takes to read it."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from textual.content import Content

from state.analysis.table import TABLE_HEADINGS, table_rows
from state.analysis.words import model_line, settings_line
from state.run.records import Run

#: Columns that stay whatever the width; of the others the last go first.
_KEPT: Final = frozenset({"method", "save s", "load s", "state"})
_TEXTS: Final = frozenset({"method", "cache", "memory", "bound by", "state"})
#: Columns whose first word is enough where there is no room for the interval behind it.
_SHORTENED: Final = frozenset({"save s", "load s", "save vs tensorstore", "load vs tensorstore"})
_GAP: Final = "  "
#: A reason may be longer, and is cut at the edge.
_STATE_WIDTH: Final = 10
#: Signs of the exporters, for terminals that have plain characters only.
_PLAIN: Final = str.maketrans({"–": "-", "≈": "~", "·": "|", "±": "~", "…": "~"})

_Row = dict[str, str]


class _Column(NamedTuple):
    heading: str
    width: int

    def write(self, cell: str) -> str:
        return f"{cell:{'<' if self.heading in _TEXTS else '>'}{self.width}}"


def preview(run: Run, width: int, *, ascii_only: bool) -> Content:
    """The run's table, its model and settings, and what weakens its numbers.

    Args:
        run: Any, also one without results.
        width: Columns that there are.
        ascii_only: Use plain characters.
    """
    rows, columns = _fitting([dict(zip(TABLE_HEADINGS, cells, strict=True)) for cells in table_rows(run)], width)
    parts = [(_GAP.join(column.write(column.heading) for column in columns), "bold $foreground 70%")]
    for row in rows:
        if row["state"].startswith("failed") and not row["save s"]:  # there is room for the reason
            parts.append((f"{columns[0].write(row['method'])}{_GAP}{row['state']}", "$error"))
        else:
            parts.append((_GAP.join(column.write(row[column.heading]) for column in columns), "$foreground"))
    parts = [(line.rstrip()[:width], style) for line, style in parts]
    parts += [("", ""), (model_line(run), "$foreground 70%"), (settings_line(run), "$foreground 70%")]
    if run.refusal is not None:
        parts.append((f"refused: {run.refusal.what}: {run.refusal.do}", "$error"))
    parts += [(f"! {sentence}", "$warning") for sentence in run.advice]
    return Content.assemble(*((f"{line.translate(_PLAIN) if ascii_only else line}\n", style) for line, style in parts))


def _fitting(rows: list[_Row], width: int) -> tuple[list[_Row], list[_Column]]:
    """The rows and the columns that fit: fewer columns, or else all that fit without the intervals."""
    columns = _columns(rows, width)
    if _width(columns) <= width:
        return rows, columns
    medians = [{name: c.partition(" ")[0] if name in _SHORTENED else c for name, c in row.items()} for row in rows]
    return medians, _columns(medians, width)


def _columns(rows: Sequence[_Row], width: int) -> list[_Column]:
    """The columns in which any row has something, as many as fit, but at least those that stay."""
    columns = []
    for name in TABLE_HEADINGS:
        widest = max(len(row[name]) for row in rows)
        if widest:
            columns.append(_Column(name, max(len(name), min(widest, _STATE_WIDTH) if name == "state" else widest)))
    while _width(columns) > width and any(column.heading not in _KEPT for column in columns):
        columns.remove(next(column for column in reversed(columns) if column.heading not in _KEPT))
    return columns


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)
