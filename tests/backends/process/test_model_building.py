"""A run's model: what is left of the one before, and children that die on the way."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from backends.measuring.shared_model import Arena
from backends.process import model_building
from backends.process.child_work import Host, RefusedError
from backends.process.children import Emit, Patience
from backends.process.model_building import ModelCache, look_at_model, provide_model
from state.needs import MemoryPlan, Needs, Room
from state.plan import Plan
from state.run.events import Event, ModelBuilding, WorkerEvent
from state.run.records import Failure
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

    monkeypatch.setattr(model_building, "room", look)
    need = Needs(1, 1, MemoryPlan(1, 1, ""))
    with pytest.raises(LookedError):
        provide_model(cast("Host", None), models, Plan(), "run-1", tmp_path, MODEL, need)


class Cancels:
    """A host whose launcher says stop as soon as there is something to do."""

    def emit(self, event: Event) -> None:
        raise AssertionError("nothing has happened")

    def do(self, *arguments: object) -> Failure | None:
        raise KeyboardInterrupt


def test_a_model_that_is_not_built_to_its_end_leaves_no_memory(tmp_path: Path) -> None:
    need = Needs(1, 1, MemoryPlan(1, 1, ""))
    os.close(free := os.dup(0))
    with pytest.raises(KeyboardInterrupt):
        provide_model(Cancels(), ModelCache(), Plan(), "run-1", tmp_path, MODEL, need)
    os.close(again := os.dup(0))
    assert again == free, "its descriptor is still open"


class Dies:
    """A host whose children die a few times before one does its work."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths
        self.tried = 0
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def do(
        self,
        work: Callable[[Emit], None],
        patience: Patience,
        on_event: Callable[[WorkerEvent], None],
        on_start: Callable[[int], None] = lambda pid: None,
    ) -> Failure | None:
        self.tried += 1
        if self.tried <= self.deaths:
            return Failure("killed by the system for lack of memory", "choose a smaller --size")
        work(lambda event: on_event(cast("WorkerEvent", event)))
        return None


def test_a_child_that_dies_before_the_trials_is_tried_once_more() -> None:
    host = Dies(1)
    model, _ = look_at_model(host, Plan(size_bytes=20_000_000), set())
    assert host.tried == 2
    assert model.tensors
    assert [type(event) for event in host.events] == [ModelBuilding]


def test_one_that_dies_twice_ends_the_run_and_is_no_wrong_request() -> None:
    with pytest.raises(RefusedError) as caught:
        look_at_model(Dies(2), Plan(), set())
    assert caught.value.failure.ours
    assert caught.value.failure.what == (
        "the process that looks at the model did not come to its end, twice: killed by the system for lack of memory"
    )
    assert caught.value.failure.do == "choose a smaller --size"
