"""Names for methods and for groups of them, as people write them."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

from state.errors import RequestError
from state.plan import CELL_NAMES, SIX

#: The groups of methods that are the same everywhere.
NAMED: Final[Mapping[str, tuple[str, ...]]] = {"six": SIX, "cells": CELL_NAMES}


def expand_methods(text: str, available: Iterable[str], groups: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Read a comma-separated list of names and groups.

    Args:
        text: What the user wrote.
        available: Every method that exists, in the order in which people see them.
        groups: Name of a group -> its methods.

    Returns:
        Names in the order written, each once.

    Raises:
        RequestError: If a name is unknown, or nothing of a group can run here.
    """
    known = tuple(available)
    chosen: dict[str, None] = {}
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name not in groups and name not in known:
            near = difflib.get_close_matches(name, (*groups, *known), n=3)
            do = f"did you mean {' or '.join(near)}" if near else f"choose from {', '.join((*groups, *known))}"
            raise RequestError(f"there is no method {name!r}", f"{do}? See ckpt-tui methods" if near else do)
        if not groups.get(name, known):
            raise RequestError(f"no method of {name} can run here", "see ckpt-tui methods for what to install")
        chosen |= dict.fromkeys(groups.get(name, (name,)))
    return tuple(chosen)
