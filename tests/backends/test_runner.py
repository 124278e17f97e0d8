"""What a run does with what is left of the one before."""

import os
from pathlib import Path
from typing import cast

import pytest

from backends import runner
from backends.arena import Arena
from backends.runner import Host, ModelCache, Runner
from state.events import Event, StartRun
from state.needs import MemoryPlan, Needs, Room
from state.plan import Plan
from state.run import Failure
from tests.state.factories import MODEL


class LookedError(Exception):
    """Somebody looked how much room there is."""


def test_another_models_memory_is_given_back_before_anybody_looks_for_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = ModelCache()
    models.put("another", "run-0", Arena(MODEL))

    def look(_folder: Path) -> Room:
        assert models.get("another") is None, "its memory counts as taken"
        raise LookedError

    monkeypatch.setattr(runner, "room", look)
    run = Runner(cast("Host", None), models, StartRun("run-1", Plan(), ()), tmp_path)
    with pytest.raises(LookedError):
        run._provide(MODEL, Needs(1, 1, MemoryPlan(1, 1, "")))


class Cancels:
    """A host whose launcher says stop as soon as there is something to do."""

    def emit(self, event: Event) -> None:
        raise AssertionError("nothing has happened")

    def do(self, *arguments: object) -> Failure | None:
        raise KeyboardInterrupt


def test_a_model_that_is_not_built_to_its_end_leaves_no_memory(tmp_path: Path) -> None:
    models = ModelCache()
    run = Runner(Cancels(), models, StartRun("run-1", Plan(), ()), tmp_path)
    os.close(free := os.dup(0))
    with pytest.raises(KeyboardInterrupt):
        run._build(MODEL)
    os.close(again := os.dup(0))
    assert again == free, "its descriptor is still open"
