import errno

import psutil
import pytest

from backends.measuring import memory_taken_back
from backends.measuring.memory_taken_back import LEAST_BYTES, measure_fresh_memory
from state.units import MIB


def test_memory_is_filled_before_and_after_idling_and_given_back() -> None:
    before_bytes = psutil.Process().memory_info().rss
    memory = measure_fresh_memory(128 * MIB + 1, idle_s=0.05)
    assert memory is not None
    assert memory.size_bytes == 128 * MIB + 1
    assert memory.idle_s == 0.05
    assert all(time_s > 0 for time_s in (*memory.at_hand_s, memory.after_idle_s))
    assert psutil.Process().memory_info().rss < before_bytes + 64 * MIB


def test_no_more_is_filled_than_there_is_without_the_systems_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(size_bytes: int) -> None:
        monkeypatch.setattr(memory_taken_back, "available_memory_bytes", lambda: 256 * MIB + size_bytes)

    leave(LEAST_BYTES)
    memory = measure_fresh_memory(idle_s=0.0)
    assert memory is not None
    assert memory.size_bytes == LEAST_BYTES
    leave(LEAST_BYTES - 1)
    assert measure_fresh_memory(idle_s=0.0) is None


def test_a_system_that_refuses_memory_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size_bytes: int) -> None:
        raise OSError(errno.ENOMEM, "cannot allocate memory")

    monkeypatch.setattr(memory_taken_back, "buffers", refuse)
    assert measure_fresh_memory(idle_s=0.0) is None
