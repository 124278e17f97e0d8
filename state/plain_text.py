"""Text of runs, which may come from files that anybody wrote, made safe to show."""

import re
from typing import Final

#: Everything but tab, line ends and what XML 1.0 (section 2.2) and a terminal can show.
_CONTROLS: Final = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def without_controls(text: str) -> str:
    """The text without control characters, such as those that begin a terminal's escape sequences."""
    return _CONTROLS.sub("", text)


def one_line(text: str) -> str:
    """The same in one line, with single spaces: a library's message may have lines of its own."""
    return " ".join(without_controls(text).split())
