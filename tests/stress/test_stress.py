"""A few rounds of what `tests.stress` does by the hundred."""

import random
from pathlib import Path

from state.history.store import History
from tests.backends.runs import scratch_folders, wait_until
from tests.stress import kills, monkey


def test_a_monkey_finds_nothing(tmp_path: Path) -> None:
    game = monkey.play(1, 6.0, monkey.make_model(tmp_path))
    assert not game.problems, f"{game.problems[0]}\nafter {' '.join(game.did)}"
    assert game.did[-1] == "left"


def test_nothing_of_a_live_run_is_deleted_and_everything_of_dead_ones_is(storage: Path, tmp_path: Path) -> None:
    model, log = monkey.make_model(tmp_path), tmp_path / "cleaners.log"
    with kills.cleaners(storage, log):
        other = kills.start(storage, model, rounds=4, seed=1)
        for seed in range(2):
            victim, problem = kills.kill_one(random.Random(seed), storage, model)
            assert problem is None, f"{victim}: {problem}"
        told, _ = other.communicate(timeout=120)
        assert kills.whole(told, other.returncode) is None
        assert wait_until(lambda: not scratch_folders(storage))
    with History() as history:
        assert len(history.runs()) >= 1
