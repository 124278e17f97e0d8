"""Plain characters in the place of all others, where a terminal, its font or its encoding has no others."""

import codecs
import io
import sys
import unicodedata
from typing import Final

#: Name of the way to deal with what an encoding does not have (`codecs.register_error`).
_ERRORS: Final = "ckpt-tui-plain"
_SIGNS: Final = str.maketrans(
    dict(zip("·–—…≈±×≤≥→←▶◀▲▼✓✗■□●◐○★‹›²", ".--~~~x<>><><^vvx#.o%o*<>2", strict=True))
    | dict(zip("█▓▒░▇▆▅▄▃▂▁━", "#=+-#%*+=-.-", strict=True))
    | dict.fromkeys("│┃║╎┆┊▏▕", "|")
    | dict.fromkeys("─═╌┄┈▔", "-")
    | dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼┏┓┗┛╔╗╚╝╠╣╦╩╬╡╞╪", "+")
)


def plain(text: str) -> str:
    """The text with ASCII characters only, as wide as it was on a terminal."""
    return "".join(map(_plain, text.translate(_SIGNS)))


def _plain(character: str) -> str:
    if character.isascii():
        return character
    from rich.cells import cell_len

    letters = "".join(c for c in unicodedata.normalize("NFKD", character) if c.isascii())
    width = cell_len(character)
    return letters if len(letters) == width else "?" * width


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


def be_plain_where_needed(*, always: bool = False) -> None:
    """Have standard output and error write plain characters for what their encoding does not have.

    Args:
        always: For everything that is not ASCII.
    """
    codecs.register_error(_ERRORS, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="ascii" if always else None, errors=_ERRORS)


def is_plain() -> bool:
    """Whether what is drawn will be plain characters."""
    try:
        "█✓".encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return True
    return False
