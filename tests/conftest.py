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
    *("bench/", "state/", "test_links.py", "tui/explorer/", "tui/screens/", "tui/text/"),
    *("tui/cli/test_gate.py", "tui/cli/test_gate_report.py", "tui/test_history_thread.py", "tui/test_limits_shown.py"),
    *("tui/test_memory_shown.py", "tui/test_method_choice.py", "tui/test_one_result.py", "tui/test_snapshots.py"),
    *("backends/process/test_failures.py", "backends/storage/test_scratch.py", "backends/test_resources.py"),
)
#: Tests that watch the page cache, free memory or what the system has not written yet, all of which trials change.
ALONE: Final = (
    *("backends/measuring/", "backends/testing/", "backends/process/test_children.py"),
    *(
        "backends/storage/test_cold_proof.py",
        "backends/storage/test_pagecache.py",
        "backends/storage/test_block_sizes.py",
    ),
    *("backends/methods/test_conformance_run.py", "backends/methods/test_direct.py"),
    *("backends/methods/jax/test_serialization.py", "backends/test_meddling.py", "backends/test_silent_storage.py"),
    "backends/test_testing.py",
)


def place(item: pytest.Item) -> str:
    """Where a test lies, below this folder."""
    return str(item.path.relative_to(Path(__file__).parent))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what this machine lacks the device for, and let quiet tests run while others want to be alone.

    Of two processes, each begins with one half of the tests.
    """
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip("torch sees no GPU"))
    alone = [item for item in items if place(item).startswith(ALONE)]
    quiet = [item for item in items if place(item).startswith(QUIET)]
    others = [item for item in items if not place(item).startswith((*ALONE, *QUIET))]
    first = max(0, len(items) // 2 - len(alone))
    items[:] = [*alone, *others[:first], *quiet, *others[first:]]


@pytest.hookimpl(wrapper=True, tryfirst=True)  # so that waiting does not count as the test's time
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keep trials of one process from tests of another that would see them; whoever is first, the others wait."""
    with Path(__file__).open() as lock:
        if not place(item).startswith(QUIET):
            fcntl.flock(lock, fcntl.LOCK_EX if place(item).startswith(ALONE) else fcntl.LOCK_SH)
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
