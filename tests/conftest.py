"""What every test stands on: folders of its own instead of the user's, and a small model."""

import fcntl
import os
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest
import safetensors.torch
import torch

#: Tests that only compute or draw, and so may run beside all others.
QUIET: Final = (
    *("bench/", "state/", "tui/test_snapshots.py", "tui/screens/test_history_snapshots.py", "tui/text/test_compare.py"),
    *("backends/storage/test_scratch.py", "backends/test_resources.py", "backends/process/test_failures.py"),
)
#: Tests that watch the page cache, free memory or what the system has not written yet, all of which trials change.
ALONE: Final = (
    *(
        "backends/measuring/test_shared_model.py",
        "backends/process/test_children.py",
        "backends/storage/test_cold_proof.py",
    ),
    *("backends/measuring/test_counters.py", "backends/measuring/test_machine_limits.py"),
    *(
        "backends/measuring/test_device_limit.py",
        "backends/measuring/test_trial.py",
        "backends/test_meddling.py",
        "backends/storage/test_pagecache.py",
    ),
    *(
        "backends/measuring/test_memory_at_hand.py",
        "backends/measuring/test_memory_taken_back.py",
        "backends/storage/test_patterns.py",
    ),
    *("backends/test_silent_storage.py", "backends/test_testing.py", "backends/testing/"),
    *(
        "backends/methods/test_conformance_run.py",
        "backends/methods/test_direct.py",
        "backends/methods/jax/test_serialization.py",
    ),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what this machine lacks the device for."""
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip("torch sees no GPU"))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # so that waiting does not count as the test's time
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keep trials of one process from tests of another that would see them; whoever is first, the others wait."""
    where = str(item.path.relative_to(Path(__file__).parent))
    with Path(__file__).open() as lock:
        if not where.startswith(QUIET):
            fcntl.flock(lock, fcntl.LOCK_EX if where.startswith(ALONE) else fcntl.LOCK_SH)
        try:
            return (yield)
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # whatever a test has forked and left, which has this file open, too


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history, logs and pointers of tests go where tests may write."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for variable in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(home / variable.lower()))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for variable in ("COLUMNS", "LINES"):  # pytest's own terminal, which its workers inherit
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def faulty_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the methods of `tests/faulty` for processes that are started from here, and for this one."""
    folder = str(Path(__file__).parent / "faulty")
    monkeypatch.setenv("PYTHONPATH", folder, prepend=os.pathsep)
    monkeypatch.syspath_prepend(folder)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 1.3 MB in three dtypes."""
    generator = torch.Generator().manual_seed(7)
    tensors = {
        "embed.weight": torch.randn(500, 640, generator=generator).to(torch.bfloat16),
        "layer.weight": torch.randn(320, 500, generator=generator),
        "layer.steps": torch.arange(300),
    }
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    safetensors.torch.save_file(tensors, path)
    return path


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """An empty folder to measure in."""
    folder = tmp_path / "storage"
    folder.mkdir()
    return folder
