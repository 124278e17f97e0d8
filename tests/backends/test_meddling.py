"""A method that changes what it was given, or hunts for the model, fails alone: real runs with methods of others."""

import itertools
from pathlib import Path

import msgspec
import pytest
import torch

from state.plan import LIMIT, Plan
from state.run.records import Run, SaveResult
from state.schedule import schedule
from tests.backends.runs import measure, statuses

DONE = ("done", "done")
FAILED = ("failed", "failed")
#: How many bytes these write depends on what the tensors are.
SOUND = ("ts+compression", "t5x")
LED_TO = "the save changed what it was given: "
#: Method -> what is said of it.
FLAT = {
    "meddles:zeroes": "tensor 'embed' has other bits, first at byte 0",
    "meddles:scales": "tensor 'embed' has other bits, first at byte 1",
    "meddles:transposes": "tensor 'matrix' is float32 [300, 200] and was float32 [200, 300]",
    "meddles:transposes-squares": "tensor 'square' lies otherwise in memory: strides (1, 128) instead of (128, 1)",
    "meddles:resizes": "tensor 'embed' is bfloat16 [1] and was bfloat16 [500]",
    "meddles:frees": "tensor 'embed' is bfloat16 [0] and was bfloat16 [500]",
    "meddles:flattens": "tensor 'matrix' is float32 [60000] and was float32 [200, 300]",
    "meddles:moves": "tensor 'embed' lies otherwise in memory: address",
    "meddles:replaces": "tensor 'tied' is another object",
    "meddles:adds": "tensor 'surplus' is not there before",
    "meddles:deletes": "tensor '",
    "meddles:reorders": "the tensors stand in another order",
    "later:zeroes": "tensor 'embed' has other bits, first at byte 0",
    "later:scales": "tensor 'embed' has other bits, first at byte",
    "later:moves": "tensor 'embed' lies otherwise in memory: address",
}
NESTED = {
    "nested:zeroes": "tensor 'model/embed' has other bits, first at byte 0",
    "nested:deletes": "tensor 'optimizer/state/square/exp_avg_sq' is missing",
    "meddles:zeroes": "tensor 'model/embed' has other bits, first at byte 0",
    "later:scales": "tensor 'model/embed' has other bits, first at byte",
}
#: torch itself keeps a method from freeing memory that is not its own.
REFUSED_BY_TORCH = "meddles:frees-storages"


@pytest.fixture
def plan(tmp_path: Path, storage: Path, faulty_methods: None) -> Plan:
    generator = torch.Generator().manual_seed(7)
    embed = torch.randn(500, generator=generator).bfloat16()
    model = {
        "embed": embed,
        "matrix": torch.randn(200, 300, generator=generator),
        "square": torch.randn(128, 128, generator=generator),
        "steps": torch.arange(300),
    }
    path = tmp_path / "model.pt"
    torch.save(model | {"tied": embed}, path)
    return Plan(model=str(path), storage=str(storage), repeats=1, methods=SOUND)


def with_and_without(plan: Plan, *methods: str) -> tuple[Run, Run]:
    """A run of these methods between the sound ones, of which one is the first and another the last; and without them.

    The seed decides the order, and what the optimizer's state is: it is the same in both.
    """
    plans = (msgspec.structs.replace(plan, methods=(*SOUND, *methods), seed=seed) for seed in itertools.count())
    chosen = next(plan for plan in plans if [(order := saves(plan))[0], order[-1]] == list(SOUND))
    return measure(chosen)[0], measure(msgspec.structs.replace(chosen, methods=SOUND))[0]


def saves(plan: Plan) -> list[str]:
    return [trial.method for trial in schedule(plan) if trial.operation == "save" and trial.method != LIMIT]


def stored_bytes(run: Run) -> dict[str, int]:
    results = {method: run.of(method, "save")[0].result for method in SOUND}
    return {method: result.stored_bytes for method, result in results.items() if isinstance(result, SaveResult)}


def reasons(run: Run) -> dict[str, str]:
    failed = {record.trial.method: record.failure for record in run.records if record.trial.operation == "save"}
    return {method: failure.what for method, failure in failed.items() if failure is not None}


@pytest.mark.parametrize("optimizer", [False, True])
def test_a_save_that_changes_what_it_was_given_fails_by_name_and_spoils_nobody_else(
    plan: Plan, optimizer: bool
) -> None:
    plan = msgspec.structs.replace(plan, with_optimizer=optimizer)
    expected = NESTED if optimizer else FLAT
    run, alone = with_and_without(plan, *expected, *([] if optimizer else [REFUSED_BY_TORCH]))
    found = reasons(run)
    if not optimizer:
        assert "not resizable" in found.pop(REFUSED_BY_TORCH)
    assert found.keys() == expected.keys()
    for method, words in expected.items():
        assert found[method].startswith(LED_TO + words), method
    assert statuses(run) == dict.fromkeys(run.plan.methods, FAILED) | dict.fromkeys(SOUND, DONE)
    assert stored_bytes(run) == stored_bytes(alone)
    assert len(stored_bytes(alone)) == 2


def test_a_load_that_hunts_for_the_model_or_bribes_its_judge_changes_nothing(plan: Plan) -> None:
    run, alone = with_and_without(plan, "hunts", "bribes")
    assert statuses(run) == {**dict.fromkeys(SOUND, DONE), "hunts": DONE, "bribes": ("done", "failed")}
    (failure,) = (record.failure for record in run.records if record.failure is not None)
    assert failure.what == "came back different: tensor 'embed' has other bits, first at byte 5"
    assert stored_bytes(run) == stored_bytes(alone)
