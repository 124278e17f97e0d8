"""Everything that begins or ends on a GPU: `make test-gpu`. Where there is none, each of these tests is skipped."""

import contextlib
from pathlib import Path

import pytest
import torch

from backends.measuring.machine_limits import transfer_rates
from backends.methods.registry import create
from backends.process.launcher import Launcher
from backends.testing import MethodTests
from state.analysis.results import method_results
from state.optimizations import MIN_CHUNK_BYTES
from state.plan import Plan
from state.run.events import Sampled
from tests.backends.runs import measure
from tests.backends.samples import METHODS

pytestmark = pytest.mark.gpu

#: JAX comes without CUDA unless it is asked for; what it lacks is refused, which other tests see.
WITH_CUDA = tuple(name for name in METHODS if "cuda" in create(name, Plan()).capabilities.devices)
PLAN = Plan(device="cuda", chunk_bytes=MIN_CHUNK_BYTES, concurrency=8)


@pytest.mark.parametrize("method_name", WITH_CUDA)
class TestEveryMethodOnTheGPU(MethodTests):
    plan = PLAN
    tiny_tensors = 500
    kills = 3

    @pytest.fixture(autouse=True)
    def choose(self, method_name: str) -> None:
        self.method = method_name


def test_a_run_starts_and_ends_on_the_gpu_and_the_worker_never_touches_it(storage: Path) -> None:
    plan = Plan(device="cuda", size_bytes=30 * 10**6, storage=str(storage), methods=WITH_CUDA, repeats=1)
    looked_at: set[int] = set()
    workers: set[int] = set()

    def look(launcher: Launcher, event: object) -> None:
        if isinstance(event, Sampled) and launcher.pid is not None:
            looked_at.add(launcher.pid)
            if _has_driver_open(launcher.pid):
                workers.add(launcher.pid)

    run, events = measure(plan, act=look)
    assert {result.method for result in method_results(run) if result.verified} == set(WITH_CUDA)
    assert looked_at
    assert not workers, "a worker opened the driver"
    assert run.limits.device_to_host_bytes_per_s
    assert run.limits.host_to_device_pageable_bytes_per_s
    samples = [event for event in events if isinstance(event, Sampled)]
    assert samples
    assert all(sample.gpu is not None and sample.gpu.memory_bytes for sample in samples)


def test_a_model_larger_than_the_gpu_is_refused_with_figures(storage: Path) -> None:
    """As a row: the host may have room for it."""
    free_bytes, _ = torch.cuda.mem_get_info()
    # Room for a process to come up on it, and not for the model.
    filler = torch.empty(free_bytes - 2 * 2**30, dtype=torch.uint8, device="cuda")
    plan = Plan(device="cuda", size_bytes=3 * 10**9, model="open-llama-3b", storage=str(storage), repeats=1)
    run, _ = measure(plan)
    del filler
    torch.cuda.empty_cache()
    (failure, *_) = {r.failure.what for r in run.records if r.failure is not None and r.trial.operation == "save"}
    assert failure.startswith("the model needs 3")
    assert "on cuda:0, which has" in failure


def test_pinned_memory_is_no_slower() -> None:
    pinned, pageable = (transfer_rates(torch.device("cuda"), pinned=pinned)[0] or 0.0 for pinned in (True, False))
    assert pinned > 0.8 * pageable > 0


def _has_driver_open(pid: int) -> bool:
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            if str(fd.readlink()).startswith("/dev/nvidia"):
                return True
    return False
