"""Columns of text: as many as a width has room for."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from tui.text.glyphs import Glyphs

_Row = TypeVar("_Row")


class Column(NamedTuple, Generic[_Row]):
    """A column.

    Attributes:
        heading: What stands above it.
        width: In characters, with the gap to its neighbour.
        write: What a row writes into so many characters.
    """

    heading: str
    width: int
    write: Callable[[_Row, int, Glyphs], str]


def fitting(columns: Sequence[Column[_Row]], room: int) -> tuple[list[Column[_Row]], int]:
    """The first of these columns that fit together, and the room that is left behind them."""
    chosen = []
    for column in columns:
        if column.width > room:
            break
        chosen.append(column)
        room -= column.width
    return chosen, room


def cut(text: str, width: int, glyphs: Glyphs) -> str:
    """The text, with a sign in the place of what does not fit."""
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}{glyphs.ellipsis}"
