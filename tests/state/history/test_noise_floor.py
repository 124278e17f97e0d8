from pathlib import Path
from typing import Any

import msgspec
import pytest

from state.history.noise_floor import TAG, noise_floor
from state.history.store import History
from state.plan import Plan
from state.run.records import Run
from tests.state.factories import run_of

STEADY = [1.0, 1.02, 0.98]


def kept(history: History, number: int, times: float = 1.0, *, tag: bool = True, **plan: Any) -> Run:
    """A finished run of pytorch in the history."""
    wanted = msgspec.convert({"methods": ("pytorch",), "repeats": 3} | plan, Plan)
    run = run_of(wanted, {("pytorch", op): [times * s for s in STEADY] for op in ("save", "load")})
    run = msgspec.structs.replace(
        run, run_id=f"2026010{number}-120000-abcd", created_at=f"2026-01-0{number}T12:00:00+00:00"
    )
    history.keep(run)
    if tag:
        history.tag(run.run_id, TAG)
    return run


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.db")


def test_pairs_of_equal_runs_are_found_in_their_order(history: History) -> None:
    for number, times in enumerate((1.0, 1.1, 1.0, 1.2), start=1):
        kept(history, number, times)
    floor = noise_floor(history, kept(history, 5, tag=False))
    assert floor is not None
    assert floor.pairs == 2
    assert floor.large == pytest.approx(1.2)
    assert floor.typical == pytest.approx(1.15)


def test_without_a_whole_pair_nothing_is_known(history: History) -> None:
    run = kept(history, 1)
    assert noise_floor(history, run) is None
    kept(history, 2, 1.5, tag=False)
    assert noise_floor(history, run) is None, "a run without the tag is no half of a pair"


def test_pairs_of_another_model_or_under_other_rules_say_nothing(history: History) -> None:
    for number in (1, 2):
        kept(history, number)
    assert noise_floor(history, kept(history, 3, tag=False)) is not None
    changes: tuple[dict[str, Any], ...] = (
        {"model": "gpt2"},
        {"durability": "buffered"},
        {"cache": "warm"},
    )
    for other in changes:
        assert noise_floor(history, kept(history, 4, 1.0, tag=False, **other)) is None
    run = kept(history, 4, tag=False)
    elsewhere = msgspec.structs.replace(run.environment, storage="/elsewhere")
    assert noise_floor(history, msgspec.structs.replace(run, environment=elsewhere)) is None


def test_rounds_that_a_precision_added_make_no_difference_and_other_settings_do(history: History) -> None:
    kept(history, 1, precision=0.5)
    second = kept(history, 2, precision=0.5)
    plan = msgspec.structs.replace(second.plan, repeats=7)
    history.keep(msgspec.structs.replace(second, plan=plan))
    kept(history, 3, concurrency=4)
    floor = noise_floor(history, kept(history, 5, tag=False))
    assert floor is not None
    assert floor.pairs == 1


def test_a_run_that_was_stopped_is_no_half_of_a_pair(history: History) -> None:
    first = kept(history, 1)
    history.keep(msgspec.structs.replace(kept(history, 2), status="cancelled"))
    assert noise_floor(history, first) is None
