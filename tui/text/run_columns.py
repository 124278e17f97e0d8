"""The list of kept runs: how each is written into the columns that a width has room for."""

from typing import Final

from textual.content import Content

from state.history.entry import RunEntry
from state.units import format_bytes
from tui.text.column_fitting import Column, cut, fitting
from tui.text.glyphs import STATE_STYLES, Glyphs, RowState
from tui.text.run_words import memory_words, methods_words, model_name, state_words, when

_MIN_NAME: Final = 21


def _model(entry: RunEntry, room: int, glyphs: Glyphs) -> str:
    """Its name as far as there is room beside its size."""
    size = f" {format_bytes(entry.model_bytes)}" if entry.model_bytes is not None else ""
    return cut(model_name(entry), room - len(size), glyphs) + size


def _storage(entry: RunEntry, room: int, glyphs: Glyphs) -> str:
    """The file system and the folder, of which the end says most."""
    left = room - len(entry.filesystem) - 1
    folder = entry.storage
    if len(folder) > left:
        folder = f"{glyphs.ellipsis}{folder[len(folder) - max(0, left - 1) :]}"
    return f"{entry.filesystem} {folder}"


def _state(entry: RunEntry) -> RowState:
    if entry.status == "running":
        return "running"
    if entry.failed:
        return "failed"
    return "done" if entry.status == "finished" else "cancelled"


def _trials(entry: RunEntry, _room: int, glyphs: Glyphs) -> str:
    return f"{glyphs.states[_state(entry)]} {state_words(entry)}"


_MODEL: Final[Column[RunEntry]] = Column("model", 17, _model)
_TRIALS: Final[Column[RunEntry]] = Column("trials", 18, _trials)
_STORAGE: Final[Column[RunEntry]] = Column("storage", 18, _storage)
#: What follows on these, the dearest first, as far as there is room.
_OPTIONAL: Final[tuple[Column[RunEntry], ...]] = (
    Column("when", 17, lambda entry, *_: when(entry)),
    Column("methods", 9, lambda entry, *_: methods_words(entry)),
    _STORAGE,
    Column("tags", 16, lambda entry, *_: " ".join(entry.tags)),
    Column("machine", 15, lambda entry, *_: entry.hostname),
    Column("id", 22, lambda entry, *_: entry.run_id if entry.name else ""),
)
#: Column -> what of the room that is left it takes at most. A name takes the rest.
_GROWING: Final = {"model": 8, "storage": 30}


def columns_for(width: int, glyphs: Glyphs) -> tuple[tuple[Column[RunEntry], ...], int]:
    """The columns that fit, and the width that is left for the name before them."""
    chosen = [_MODEL, _TRIALS]
    optional, left = fitting(_OPTIONAL, width - _front(glyphs) - _MIN_NAME - sum(column.width for column in chosen))
    chosen += optional
    for number, column in enumerate(chosen):
        more = max(0, min(left, _GROWING.get(column.heading, 0)))
        chosen[number] = column._replace(width=column.width + more)
        left -= more
    return tuple(chosen), max(0, _MIN_NAME + left)


def _front(glyphs: Glyphs) -> int:
    """Room for the mark and the sign of the baseline."""
    return len(glyphs.chosen) + 3


def heading(width: int, glyphs: Glyphs) -> Content:
    """The line above the rows."""
    columns, name_width = columns_for(width, glyphs)
    cells = "".join(f"{column.heading:<{column.width}}" for column in columns)
    return Content.styled(f"{'':<{_front(glyphs)}}{'run':<{name_width}}{cells}", "bold $foreground 70%")


def line(entry: RunEntry, width: int, glyphs: Glyphs, *, marked: bool) -> Content:
    """A row: mark, baseline, memory that was left as found, name or id, and the columns."""
    columns, name_width = columns_for(width, glyphs)
    mark = glyphs.chosen if marked else " " * len(glyphs.chosen)
    parts = [
        (f"{mark} ", "$primary"),
        *_signs(entry, glyphs),
        (_cell(entry.title, name_width, glyphs), "$foreground" if entry.name else "$foreground 70%"),
    ]
    for column in columns:
        style = STATE_STYLES[_state(entry)] if column.heading == "trials" else "$foreground"
        parts.append((_cell(column.write(entry, column.width - 1, glyphs), column.width, glyphs), style))
    return Content.assemble(*parts)


def _signs(entry: RunEntry, glyphs: Glyphs) -> tuple[tuple[str, str], ...]:
    """The baseline's, and that of memory that was left as found."""
    baseline = glyphs.baseline if entry.baseline else " "
    if not memory_words(entry):
        return ((f"{baseline} ", "bold $accent"),)
    return ((baseline, "bold $accent"), (glyphs.as_found, "$warning"))


def _cell(text: str, width: int, glyphs: Glyphs) -> str:
    return f"{cut(text, width - 1, glyphs):<{width}}"
