"""The fastest pattern is taken, a difference that is noise changes nothing, and trying ends in time."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.storage import block_sizes
from backends.storage.block_sizes import choose, told
from backends.storage.blocks import Pattern

SOME = (Pattern(1024, 1), Pattern(2048, 2), Pattern(4096, 4))


@given(st.lists(st.floats(0.001, 0.01), min_size=3, max_size=3))
def test_nobody_is_clearly_faster_than_the_one_that_is_taken(seconds: list[float]) -> None:
    times_s: Mapping[Pattern, float] = dict(zip(SOME, seconds, strict=True))
    best, seen = choose(SOME, times_s.__getitem__)
    assert seen == times_s
    assert min(seconds) >= 0.95 * times_s[best]
    if min(seconds) > 0.95 * seconds[0]:
        assert best == SOME[0], "a difference that is noise"


def test_the_first_is_tried_once_more_than_the_others() -> None:
    """Whoever comes first pays for threads and pages."""
    seen: list[Pattern] = []

    def attempt(pattern: Pattern) -> float:
        seen.append(pattern)
        return 1.0 if len(seen) == 1 else 0.1 * pattern.depth

    assert choose(SOME, attempt)[0] == SOME[0]
    assert seen == [SOME[0], *SOME, *SOME, *SOME]


def test_a_disturbed_look_does_not_decide() -> None:
    looks = iter([9.0, 9.0, 2.0, 3.0, 1.0, 9.0, 3.0, 9.0, 2.0, 3.0])
    assert choose(SOME, lambda pattern: next(looks)) == (SOME[0], dict(zip(SOME, [1.0, 2.0, 3.0], strict=True)))


def test_time_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_sizes, "_TRY_S", 0.0)
    best, seen = choose(SOME, lambda pattern: 1 / pattern.depth)
    assert (best, [*seen]) == (SOME[0], [SOME[0]])


def test_what_was_tried_is_told_as_rates() -> None:
    assert told({SOME[0]: 0.5}, 100) == [{"block_bytes": 1024, "depth": 1, "rate_bytes_per_s": 200.0}]
