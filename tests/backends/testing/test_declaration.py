"""What is said of a declaration follows from what was seen."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.testing.declaration import TOLERANCE, Filled, complaints
from state.needs import MemoryNeed
from state.plan import OPERATIONS, Operation
from state.units import MIB

MODEL_BYTES = 128 * MIB
COPIES = st.floats(0, 3)
SHARES = st.floats(0, 1)
NEEDS = st.builds(MemoryNeed, COPIES, COPIES, st.integers(0, 2 * MODEL_BYTES), SHARES)


def filled(operation: Operation, copies: float, share: float = 1.0) -> Filled:
    return Filled(operation, MODEL_BYTES, MODEL_BYTES, round(copies * MODEL_BYTES), round(share * MODEL_BYTES))


@given(NEEDS, SHARES, st.sampled_from(OPERATIONS), st.booleans())
def test_who_fills_what_is_declared_is_right(need: MemoryNeed, on_the_way: float, most: Operation, maps: bool) -> None:
    """With any part of what may be on its way, and one operation that may fill less of the page cache."""
    seen = []
    for operation in OPERATIONS:
        copies = need.save_copies if operation == "save" else need.load_copies
        copies += on_the_way * min(1.0, need.in_flight_bytes / MODEL_BYTES)
        seen.append(filled(operation, copies, need.page_cache_copies if operation == most else 0.0))
    assert complaints(need, seen, maps=maps) == []


@given(NEEDS, COPIES, COPIES, SHARES, SHARES, st.booleans())
def test_who_writes_what_is_asked_for_is_right(
    need: MemoryNeed, saved: float, loaded: float, save_share: float, load_share: float, maps: bool
) -> None:
    seen = [filled("save", saved, save_share), filled("load", loaded, load_share)]
    asked: dict[str, Any] = {}
    for sentence in complaints(need, seen, maps=maps):
        match = re.search(r"write (\w+)=([\d.]+\d)", sentence)
        assert match, sentence
        asked[match[1]] = float(match[2])
    assert complaints(msgspec.structs.replace(need, **asked), seen, maps=maps) == []


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("field", ["save_copies", "load_copies", "page_cache_copies"])
def test_more_than_the_tolerance_is_too_much_and_too_little(field: str, sign: int) -> None:
    need = MemoryNeed(save_copies=1.0, load_copies=1.0, in_flight_bytes=0)
    for over, sentences in ((0.99, 0), (1.01, 1)):
        off = {field: 1.0 + sign * over * TOLERANCE}
        share = off.get("page_cache_copies", 1.0)
        seen = [filled(o, off.get(f"{o}_copies", 1.0), share) for o in OPERATIONS]
        assert len(complaints(need, seen)) == sentences


def test_what_a_load_maps_is_page_cache_and_no_memory_of_its_own() -> None:
    seen = [filled("save", 0.0), filled("load", 2.0)]
    need = MemoryNeed(in_flight_bytes=0)
    assert complaints(need, seen, maps=True) == []
    unseen = [msgspec.structs.replace(operation, cached_bytes=None) for operation in seen]
    assert complaints(need, unseen, maps=True) == []
    assert len(complaints(need, [*seen[:1], filled("load", 2.3)], maps=True)) == 1
    (sentence,) = complaints(need, seen)
    assert sentence == (
        "under a load of 134 MB its memory rose by 268 MB, and memory() declares load_copies=1 with in_flight_bytes=0: "
        "write load_copies=2.0, or Capabilities(lazy_load=True) if it maps the files and reads them through"
    )


def test_of_what_was_not_seen_nothing_is_said() -> None:
    seen = [Filled(operation, MODEL_BYTES, MODEL_BYTES, None, None) for operation in OPERATIONS]
    assert complaints(MemoryNeed(save_copies=3.0), seen) == []
