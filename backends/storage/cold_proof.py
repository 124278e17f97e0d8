"""What is known of memory that may have served a load: the page cache, by two witnesses, and what lies below it."""

from pathlib import Path
from typing import Final

from backends.storage.cache_below import cache_below
from backends.storage.pagecache import Residency
from state.run.records import CacheState

#: A cold load whose device delivered less than this share of the checkpoint was served from somewhere else. Stored
#: pages are read whole, so an honest load delivers more than the files' sizes, not less. And a warm load to which the
#: device delivered more than the rest was not warm to its end.
_DELIVERED_SHARE: Final = 0.9


def prove(
    stored_bytes: int, residency: Residency | None, device_read_bytes: int | None, *, below_emptied: bool = True
) -> CacheState:
    """What can be said of the page cache before a load.

    Args:
        stored_bytes: Size of the checkpoint's files.
        residency: How much of it was in memory as mincore saw it; None if it could not.
        device_read_bytes: What the device delivered during the load; None if nobody counted.
        below_emptied: Whether nothing below the page cache may have held the files in memory.

    Returns:
        ``cold`` only if nothing was in memory and the device delivered it all; ``warm`` only if everything was in
        memory and the device delivered next to nothing; ``unknown`` for anything between, and where the two
        witnesses disagree.
    """
    if residency is None or device_read_bytes is None:
        return "unknown"
    if residency.resident_bytes == 0 and device_read_bytes >= _DELIVERED_SHARE * stored_bytes:
        return "cold" if below_emptied else "unknown"
    if residency.resident_bytes == residency.total_bytes and device_read_bytes <= (1 - _DELIVERED_SHARE) * stored_bytes:
        return "warm"
    return "unknown"


def kept_below(folder: Path, *, caches_dropped: bool) -> str:
    """What below the page cache may still hold the files of a folder in memory; empty if nothing is known to.

    Args:
        folder: Where they are.
        caches_dropped: Whether all of the page cache was dropped.
    """
    below = cache_below(folder)
    return "" if below is None or (below.is_dropped and caches_dropped) else below.words
