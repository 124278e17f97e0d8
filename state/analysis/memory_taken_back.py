"""Whether a machine's host takes free memory back, judged from the times that fresh memory took."""

import statistics
from typing import Final

import msgspec

from state.units import format_bytes, format_seconds

#: Memory after idling took this many times as long as any that was at hand: noise on a busy machine stays below.
_SLOWER: Final = 1.5
#: And this much longer for each GB; less is of no weight beside a load, and little memory shows nothing finer.
_WORTH_S_PER_GB: Final = 0.05
_GB: Final = 10**9


class FreshMemory(msgspec.Struct, frozen=True):
    """How long fresh memory took to fill, all cores together.

    Attributes:
        size_bytes: How much.
        at_hand_s: Each time that it was filled when as much had just been given back.
        idle_s: For how long it was left alone after that.
        after_idle_s: What it took then.
    """

    size_bytes: int
    at_hand_s: tuple[float, ...]
    idle_s: float
    after_idle_s: float

    @property
    def at_hand_s_per_gb(self) -> float:
        """What a GB takes that is at hand: the median."""
        return statistics.median(self.at_hand_s) * _GB / self.size_bytes

    @property
    def after_idle_s_per_gb(self) -> float:
        """What a GB takes after idling."""
        return self.after_idle_s * _GB / self.size_bytes

    @property
    def more_s_per_gb(self) -> float:
        """What a GB takes longer after idling."""
        return max(0.0, self.after_idle_s_per_gb - self.at_hand_s_per_gb)

    @property
    def taken_back(self) -> bool:
        """Whether the host took memory back, beyond what noise does."""
        return self.after_idle_s > _SLOWER * max(self.at_hand_s) and self.more_s_per_gb > _WORTH_S_PER_GB


def memory_sentence(memory: FreshMemory) -> str:
    """What that means for a fresh program that loads 1 GB, without a full stop.

    A load through the page cache fills twice the model, one past it fills it once.
    """
    measured = (
        f"{format_bytes(memory.size_bytes)} took {format_seconds(memory.after_idle_s_per_gb)} s per GB after "
        f"{memory.idle_s:.0f} s of idling and {format_seconds(memory.at_hand_s_per_gb)} s at hand"
    )
    if not memory.taken_back:
        return f"no free memory was seen to be taken back in that time ({measured}); after more idling it may be"
    once_s = memory.more_s_per_gb
    return (
        f"the machine's host takes free memory back ({measured}): a fresh program's load of 1.00 GB waits about "
        f"{format_seconds(2 * once_s)} s more through the page cache, {format_seconds(once_s)} s past it"
    )
