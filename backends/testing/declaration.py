"""Whether a method fills as much memory as it declares (`state.needs.MemoryNeed`): neither much more, nor much less.

A run trusts the declaration. Who declares too little pays under the clock for memory that others find at hand, and a
run may begin for which there is no room; who declares too much has runs refused, and pushes out of memory what could
have stayed there.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from state.needs import MemoryNeed
from state.plan import Operation
from state.units import format_bytes

#: How far what was seen may be from what is declared, in models and in checkpoints: allocators round up and keep what
#: they have, libraries have buffers, and a file's header may go another way than its content.
TOLERANCE: Final = 0.25


class Filled(msgspec.Struct, frozen=True):
    """What one operation was seen to fill.

    Attributes:
        operation: Which.
        model_bytes: What was saved or loaded.
        stored_bytes: Of the checkpoint's files.
        own_bytes: How far the process's resident memory rose under the clock; None where nobody could see it.
        cached_bytes: How much of the files lay in the page cache afterwards; None likewise.
    """

    operation: Operation
    model_bytes: int
    stored_bytes: int
    own_bytes: int | None
    cached_bytes: int | None


def complaints(need: MemoryNeed, seen: Iterable[Filled], *, maps: bool = False) -> list[str]:
    """What is wrong with a declaration, a sentence each: what it says, what was seen, what to write.

    Own memory must lie between the copies that are declared and these with all that may be on its way. The page cache
    is one number for both operations: what the one that fills more of it fills.

    Args:
        need: The declaration.
        seen: What was seen of a save and of a load.
        maps: Whether its load maps the files: what of them is in the page cache may then be resident memory, too.
            Nobody can say how much of it was at the highest point, so a copy too many goes unnoticed there.
    """
    seen = tuple(seen)
    sentences = [*(_own_memory(need, filled, maps=maps) for filled in seen), _page_cache(need, seen)]
    return [sentence for sentence in sentences if sentence is not None]


def _own_memory(need: MemoryNeed, filled: Filled, *, maps: bool) -> str | None:
    if filled.own_bytes is None:
        return None
    copies = need.save_copies if filled.operation == "save" else need.load_copies
    mapped_bytes = 0
    if maps and filled.operation == "load":
        mapped_bytes = filled.stored_bytes if filled.cached_bytes is None else filled.cached_bytes
    most_bytes = need.bytes_for(filled.model_bytes, filled.operation) + mapped_bytes
    margin_bytes = TOLERANCE * filled.model_bytes
    if copies * filled.model_bytes - margin_bytes <= filled.own_bytes <= most_bytes + margin_bytes:
        return None
    field = f"{filled.operation}_copies"
    seen_copies = max(0, filled.own_bytes - mapped_bytes) / filled.model_bytes
    sentence = (
        f"under a {filled.operation} of {format_bytes(filled.model_bytes)} its memory rose by "
        f"{format_bytes(filled.own_bytes)}, and memory() declares {field}={copies:g} with "
        f"in_flight_bytes={need.in_flight_bytes}: write {field}={seen_copies:.1f}"
    )
    if filled.operation == "load" and filled.own_bytes > most_bytes and not maps:
        return f"{sentence}, or Capabilities(lazy_load=True) if it maps the files and reads them through"
    return sentence


def _page_cache(need: MemoryNeed, seen: tuple[Filled, ...]) -> str | None:
    parts = [
        (filled, filled.cached_bytes) for filled in seen if filled.cached_bytes is not None and filled.stored_bytes
    ]
    if not parts:
        return None
    most = max(cached_bytes / filled.stored_bytes for filled, cached_bytes in parts)
    if abs(most - need.page_cache_copies) <= TOLERANCE:
        return None
    told = ", ".join(
        f"{format_bytes(cached_bytes)} of {format_bytes(filled.stored_bytes)} after a {filled.operation}"
        for filled, cached_bytes in parts
    )
    return (
        f"of its files lay in the page cache: {told}, and memory() declares "
        f"page_cache_copies={need.page_cache_copies:g}: write page_cache_copies={most:.1f}"
    )
