import errno

import psutil
import pytest
import torch

from backends import memory_at_hand
from backends.host import usable_cores
from backends.memory_at_hand import RESERVE_BYTES, claim
from state.units import MIB


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each core takes, which none does."""
    parts: list[int] = []

    def populate(memory: torch.Tensor) -> None:
        parts.append(memory.nbytes)

    monkeypatch.setattr(memory_at_hand, "populate", populate)
    return parts


def test_all_that_is_asked_for_is_taken_by_all_cores(claimed: list[int]) -> None:
    assert claim(10 * MIB) == 10 * MIB
    assert sum(claimed) == 10 * MIB
    assert len(claimed) == usable_cores()


def test_no_more_is_taken_than_there_is_without_the_systems_own(
    claimed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_at_hand, "available_memory_bytes", lambda: RESERVE_BYTES + 1000)
    assert claim(10**15) == sum(claimed) == 1000
    monkeypatch.setattr(memory_at_hand, "available_memory_bytes", lambda: RESERVE_BYTES - 1)
    assert claim(10**15) == 0


def test_nothing_is_asked_for_nothing(claimed: list[int]) -> None:
    assert claim(0) == 0
    assert not claimed


def test_a_system_that_refuses_memory_beforehand_has_none_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size_bytes: int) -> None:
        raise OSError(errno.ENOMEM, "cannot allocate memory")

    monkeypatch.setattr(memory_at_hand, "buffers", refuse)
    assert claim(1000) == 0


def test_memory_is_given_back() -> None:
    process = psutil.Process()
    before_bytes = process.memory_info().rss
    assert claim(256 * MIB) == 256 * MIB
    assert process.memory_info().rss < before_bytes + 64 * MIB
