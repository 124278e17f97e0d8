"""Which block size and how many requests at a time suit a storage: some are tried, and the fastest is taken.

The best one differs by a factor of two and more between devices, so nobody can know it beforehand. The limit
(`backends.measuring.device_limit`) and `direct` choose theirs here, each with what it does itself, before the clock
starts.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from backends.storage.blocks import Pattern
from state.units import MIB

#: How much each pattern may move, and how long all of them together may take.
TRY_BYTES: Final = 64 * MIB
_TRY_S: Final = 1.0
#: A look takes milliseconds on a fast device, and another program may come between: the shortest of several counts.
LOOKS: Final = 3
#: A later pattern takes less than this share of the time, or the difference is noise.
_BETTER: Final = 0.95


def choose(patterns: Sequence[Pattern], attempt: Callable[[Pattern], float]) -> tuple[Pattern, dict[Pattern, float]]:
    """Try patterns until time has run out.

    Args:
        patterns: The most promising first.
        attempt: Moves some bytes and says how many seconds that took.

    Returns:
        The fastest one, and the shortest seconds of each that was tried.
    """
    attempt(patterns[0])  # the first to come pays for threads and page faults
    start_s, times_s = time.perf_counter(), dict[Pattern, float]()
    for pattern in [*patterns] * LOOKS:
        times_s[pattern] = min(attempt(pattern), times_s.get(pattern, math.inf))
        if time.perf_counter() - start_s > _TRY_S:
            break
    best = patterns[0]
    for pattern, time_s in times_s.items():
        if time_s < _BETTER * times_s[best]:
            best = pattern
    return best, times_s


def told(times_s: dict[Pattern, float], size_bytes: int) -> list[dict[str, float]]:
    """What was tried, for the results: each pattern with its rate."""
    return [{**pattern._asdict(), "rate_bytes_per_s": size_bytes / time_s} for pattern, time_s in times_s.items()]
