"""What the chart can show."""

from typing import Final, Literal, get_args

View = Literal["save", "load", "size", "speed-up", "stall"]
VIEWS: Final[tuple[View, ...]] = get_args(View)
TITLES: Final[dict[View, str]] = {
    "save": "Save time, s (lower is better)",
    "load": "Load time, s (lower is better)",
    "size": "Size on disk (lower is better)",
    "speed-up": "Times faster than tensorstore (higher is better)",
    "stall": "Time that training stands still, s (lower is better)",
}
