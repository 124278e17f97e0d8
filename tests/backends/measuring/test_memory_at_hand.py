"""Memory is taken until it is seen to be at hand, never more than there is, and what is missing is said."""

import errno
import time
from collections.abc import Iterator

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backends.measuring import memory_at_hand
from backends.measuring.memory_at_hand import PIECE_BYTES, Touched, claim, touch
from backends.methods.registry import create
from backends.resources import usable_cores
from backends.storage.buffers import give_back
from backends.storage.folder import RESERVE_BYTES
from state.plan import Plan
from state.units import MIB

FAST, SLOW = 1e-10, 1e-8  # seconds for a byte


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much is taken each time, which nobody takes: all of it is at hand."""
    sizes: list[int] = []

    def note(size_bytes: int) -> Touched:
        sizes.append(size_bytes)
        return Touched(((size_bytes, FAST),), FAST)

    monkeypatch.setattr(memory_at_hand, "touch", note)
    return sizes


def test_all_that_is_asked_for_is_taken_and_once_more_to_see_it(touched: list[int]) -> None:
    assert claim(10 * MIB) == 10 * MIB
    assert touched == [10 * MIB, 10 * MIB]


def test_no_more_is_taken_than_there_is_without_the_systems_own(
    touched: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_at_hand, "available_memory_bytes", lambda: RESERVE_BYTES + 1000)
    assert claim(10**15) == max(touched) == 1000
    monkeypatch.setattr(memory_at_hand, "available_memory_bytes", lambda: RESERVE_BYTES - 1)
    assert claim(10**15) == 0


def test_nothing_is_asked_for_nothing(touched: list[int]) -> None:
    assert claim(0) == 0
    assert not touched


def test_a_system_that_refuses_memory_beforehand_has_none_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size_bytes: int) -> None:
        raise OSError(errno.ENOMEM, "cannot allocate memory")

    monkeypatch.setattr(memory_at_hand, "buffers", refuse)
    assert claim(1000) == 0


def looks(monkeypatch: pytest.MonkeyPatch, slow_bytes: list[int]) -> Iterator[int]:
    """Of 100 bytes, so many are slow in one look after the other."""
    left = iter(slow_bytes)

    def look(size_bytes: int) -> Touched:
        slow = next(left)
        return Touched(((slow, SLOW), (size_bytes - slow, FAST)), FAST)

    monkeypatch.setattr(memory_at_hand, "touch", look)
    return left


def test_what_comes_slowly_at_first_is_at_hand_when_it_came_fast_once(monkeypatch: pytest.MonkeyPatch) -> None:
    left = looks(monkeypatch, [100, 30, 0, 99])
    assert claim(100) == 100
    assert list(left) == [99], "it looks no longer than it has to"


def test_what_stays_slow_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch, [0, 60, 30, 40])
    assert claim(100) == 70


@given(st.lists(st.tuples(st.integers(1, 100), st.floats(1e-12, 1e-6)), min_size=1), st.floats(1e-12, 1e-6))
def test_what_is_slow_is_far_from_what_is_sure_and_from_the_fastest(
    pieces: list[tuple[int, float]], sure_s_per_byte: float
) -> None:
    found = Touched(tuple(pieces), sure_s_per_byte)
    assert 0 <= found.slow_bytes <= sum(size_bytes for size_bytes, _ in pieces)
    assert Touched(tuple((n, sure_s_per_byte) for n, _ in pieces), sure_s_per_byte).slow_bytes == 0
    assert Touched((*pieces, (7, 1.0)), sure_s_per_byte).slow_bytes == found.slow_bytes + 7


def test_memory_is_taken_in_pieces_by_all_cores_and_given_back() -> None:
    process = psutil.Process()
    before_bytes = process.memory_info().rss
    size_bytes = (2 * usable_cores() + 1) * PIECE_BYTES
    found = touch(size_bytes)
    assert process.memory_info().rss < before_bytes + PIECE_BYTES
    assert sum(piece_bytes for piece_bytes, _ in found.pieces_s_per_byte) == size_bytes
    assert all(0 < piece_bytes <= PIECE_BYTES for piece_bytes, _ in found.pieces_s_per_byte)
    assert 0 < found.sure_s_per_byte < 1e-6


def test_a_system_that_cannot_make_pages_beforehand_has_them_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_at_hand, "populate", lambda memory: False)
    peak_bytes: list[int] = []

    def look(memory: torch.Tensor) -> None:
        peak_bytes.append(psutil.Process().memory_info().rss)
        give_back(memory)

    monkeypatch.setattr(memory_at_hand, "give_back", look)
    before_bytes = psutil.Process().memory_info().rss
    touch(4 * PIECE_BYTES)
    assert max(peak_bytes) >= before_bytes + PIECE_BYTES


def test_all_that_a_load_through_the_page_cache_fills_is_at_hand_where_the_host_takes_memory_back() -> None:
    """The loaded copy and the pages that carry it: with memory for one of them, half would still be away."""
    model_bytes = 10**9
    filled_bytes = create("pytorch", Plan()).memory("cpu").filled_bytes(model_bytes, model_bytes, "load")
    if psutil.virtual_memory().available < 2 * filled_bytes:
        pytest.skip("there is not memory enough to see it")
    time.sleep(5)
    if touch(filled_bytes).slow_bytes < 0.75 * filled_bytes:
        pytest.skip("nobody takes free memory away from this machine, or not within 5 s")
    time.sleep(5)
    assert claim(filled_bytes) == filled_bytes
    assert touch(filled_bytes).slow_bytes < 0.25 * filled_bytes
