"""Lines of text with a meaning for each piece, for a terminal's standard output and for the explorer alike."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from rich.text import Text
    from textual.content import Content

Meaning = Literal["plain", "dim", "strong", "title", "faster", "slower"]
Piece = tuple[str, Meaning]
Line = Sequence[Piece]

_ON_OUTPUT: Final[dict[Meaning, str]] = {
    "plain": "",
    "dim": "dim",
    "strong": "bold",
    "title": "bold",
    "faster": "green",
    "slower": "yellow",
}
_ON_SCREEN: Final[dict[Meaning, str]] = {
    "plain": "$foreground",
    "dim": "$foreground 60%",
    "strong": "bold $foreground",
    "title": "bold $primary",
    "faster": "$success",
    "slower": "$warning",
}


def for_output(lines: Sequence[Line]) -> "Text":
    """The lines for rich's console."""
    from rich.text import Text

    return Text("\n").join(Text.assemble(*((text, _ON_OUTPUT[meaning]) for text, meaning in line)) for line in lines)


def for_screen(lines: Sequence[Line]) -> "Content":
    """The lines for a widget."""
    from textual.content import Content

    return Content("\n").join(
        Content.assemble(*((text, _ON_SCREEN[meaning]) for text, meaning in line)) for line in lines
    )
