"""What every test stands on: folders of its own instead of the user's, and a small model."""

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

#: Tests that only compute or draw, and so may run beside others.
QUIET = (
    *("bench/", "state/", "tui/test_snapshots.py", "tui/test_history_snapshots.py", "tui/test_compare.py"),
    *("backends/test_scratch.py", "backends/test_cgroups.py", "backends/test_failures.py"),
)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep those in one process that measure, drop the page cache or watch a terminal: they would see each other."""
    for item in items:
        if not str(item.path.relative_to(Path(__file__).parent)).startswith(QUIET):
            item.add_marker(pytest.mark.xdist_group("machine"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip("torch sees no GPU"))


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
