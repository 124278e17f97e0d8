import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.analysis.memory_taken_back import FreshMemory, memory_sentence

GB = 10**9


@pytest.mark.parametrize(
    ("memory", "taken_back"),
    [
        (FreshMemory(GB, (0.2, 0.2, 0.2), 8.0, 0.2), False),
        (FreshMemory(GB, (0.2, 0.2, 0.2), 8.0, 2.0), True),
        (FreshMemory(GB, (0.2, 1.9, 0.2), 8.0, 2.0), False),  # as noisy as that before
        (FreshMemory(GB, (0.02, 0.02, 0.02), 8.0, 0.06), False),  # three times as long, and of no weight
        (FreshMemory(GB // 10, (0.02, 0.02, 0.02), 8.0, 0.06), True),  # the same for a tenth of it is not
        (FreshMemory(GB, (0.2, 0.2, 0.2), 8.0, 0.1), False),
    ],
)
def test_memory_was_taken_back_if_it_came_more_slowly_than_noise_alone_makes_it(
    memory: FreshMemory, taken_back: bool
) -> None:
    assert memory.taken_back == taken_back
    assert memory_sentence(memory).startswith("the machine's host takes" if taken_back else "no free memory was seen")


def test_a_load_through_the_page_cache_waits_for_twice_the_model() -> None:
    words = memory_sentence(FreshMemory(GB // 2, (0.1, 0.1, 0.1), 8.0, 1.1))
    assert "500 MB took 2.20 s per GB after 8 s of idling and 0.200 s at hand" in words
    assert "1.00 GB waits about 4.00 s more through the page cache, 2.00 s past it" in words


times = st.floats(1e-6, 1e3)


@given(st.integers(1, 10**13), st.lists(times, min_size=1, max_size=5), times, times)
def test_slower_after_idling_never_speaks_against_it(
    size_bytes: int, at_hand_s: list[float], after_idle_s: float, more_s: float
) -> None:
    memory = FreshMemory(size_bytes, tuple(at_hand_s), 8.0, after_idle_s)
    slower = FreshMemory(size_bytes, tuple(at_hand_s), 8.0, after_idle_s + more_s)
    assert slower.taken_back >= memory.taken_back
    assert memory.more_s_per_gb >= 0
    assert not memory.taken_back or after_idle_s > max(at_hand_s)
    assert memory_sentence(memory)
