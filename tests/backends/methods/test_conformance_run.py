"""Every method of ours in one real run: launcher, worker and a child for each trial, durable and cold."""

from pathlib import Path

import msgspec
import psutil
import pytest
import torch

from backends.methods.registry import create
from backends.models.sources import open_source
from backends.testing.samples import every_dtype_and_shape, not_contiguous
from state.analysis.results import method_results
from state.plan import SIX, Plan
from tests.backends.runs import measure, scratch_folders
from tests.backends.samples import METHODS

#: What models have, and what nearly no format has.
DTYPES = ("float32", "bfloat16", "float16", "int64", "uint8", "bool")
RARE = "complex32"


def refusals(plan: Plan) -> dict[str, str]:
    """Method -> why it cannot take the plan's model, asked of the method itself."""
    model = open_source(plan.model, size_bytes=plan.size_bytes, dtype=plan.dtype, seed=plan.seed).table()
    assert model.aliases
    asked = {method: create(method, plan).refusal(model, plan.device) for method in plan.methods}
    return {method: refusal.what for method, refusal in asked.items() if refusal is not None}


def verified_and_failed(plan: Plan) -> tuple[set[str], dict[str, str]]:
    """Methods whose rows are verified and cold, and those that have a reason instead."""
    run, _ = measure(plan)
    assert run.status == "finished"
    failed = {record.trial.method: record.failure.what for record in run.records if record.failure is not None}
    verified = {result.method: result.load for result in method_results(run) if result.verified}
    # Elsewhere nobody counts what the device delivers.
    assert {load.cache for load in verified.values() if load} == {"cold" if psutil.LINUX else "unknown"}
    assert scratch_folders(Path(plan.storage)) == []
    return set(verified), failed


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_every_method_is_verified_in_one_run_or_says_what_it_cannot_hold(tmp_path: Path, storage: Path) -> None:
    odd, rare = tmp_path / "odd.pt", tmp_path / "rare.pt"
    torch.save(every_dtype_and_shape(DTYPES) | not_contiguous(), odd)
    plan = Plan(model=str(odd), storage=str(storage), repeats=1, methods=METHODS)
    refused = refusals(plan)
    assert not refused.keys() & set(SIX)
    assert verified_and_failed(plan) == (set(METHODS) - refused.keys(), refused)
    torch.save(every_dtype_and_shape([*DTYPES, RARE]), rare)
    plan = msgspec.structs.replace(plan, model=str(rare))
    refused = dict.fromkeys(refusals(plan), f"it cannot hold {RARE}")
    assert "tensorstore" in refused
    plan = msgspec.structs.replace(plan, methods=("pytorch", *refused))
    assert verified_and_failed(plan) == ({"pytorch"}, refused)
