"""The signs of a terminal, and the colours of states."""

from typing import Final, Literal, NamedTuple

RowState = Literal["idle", "queued", "running", "done", "failed", "cancelled"]


class Glyphs(NamedTuple):
    """The signs of a terminal."""

    states: dict[RowState, str]
    chosen: str
    left_out: str
    on: str
    off: str
    full: str
    empty: str
    spread: str
    ellipsis: str
    estimate: str
    to_left: str
    to_right: str
    step: str
    write: str
    read: str
    baseline: str
    partly: str
    as_found: str


BLOCKS: Final = Glyphs(
    {"idle": " ", "queued": "·", "running": "▶", "done": "✓", "failed": "✗", "cancelled": "–"},
    *("■", "□", "●", "·", "▇", "░", "±", "…", "≈", "◀", "▶", "│", "▲", "▼", "★", "◐", "○"),
)
ASCII: Final = Glyphs(
    {"idle": " ", "queued": ".", "running": ">", "done": "v", "failed": "x", "cancelled": "-"},
    *("[x]", "[ ]", "*", ".", "#", "-", "+-", "~", "~", "<", ">", "|", "w ", "r ", "*", "%", "o"),
)
STATE_STYLES: Final[dict[RowState, str]] = {
    "idle": "$foreground 60%",
    "queued": "$foreground 60%",
    "running": "bold $primary",
    "done": "$success",
    "failed": "$error",
    "cancelled": "$warning",
}
