"""The record of the machine."""

import importlib.metadata
import os
import platform
from pathlib import Path

import msgspec
import psutil
import pytest

from backends.process import machine_info
from backends.process.machine_info import environment
from backends.storage.folder import filesystem_of
from state.run.environment import Environment


def test_the_record_says_what_this_machine_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = environment(Path())
    assert found.hostname == platform.node()
    assert platform.machine() in found.system
    assert found.python == platform.python_version()
    assert found.memory_bytes == psutil.virtual_memory().total
    assert found.cores == (len(psutil.Process().cpu_affinity() or []) if psutil.LINUX else os.cpu_count())
    assert (found.storage, found.filesystem) == (str(tmp_path.resolve()), filesystem_of(tmp_path))
    assert found.can_drop_caches == os.access("/proc/sys/vm/drop_caches", os.W_OK)
    for name in ("torch", "tensorstore", "numpy", "ml-dtypes", "ckpt-tui"):
        assert found.libraries[name] == importlib.metadata.version(name)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Environment) == found


def test_a_probe_that_finds_nothing_leaves_its_field_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_info, "_LIBRARIES", ("torch", "no-such-library"))
    monkeypatch.setattr(machine_info, "_CPUINFO", tmp_path / "missing")
    found = environment(tmp_path)
    assert (list(found.libraries), found.cpu) == (["torch"], platform.processor())


def test_only_variables_that_change_the_libraries_are_told_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ("CUDA_VISIBLE_DEVICES", "LD_PRELOAD", "MALLOC_ARENA_MAX", "OMP_NUM_THREADS", "TENSORSTORE_VERBOSE_LOGGING")
    for name in told:
        monkeypatch.setenv(name, "")
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_OMP_SECRET"):
        monkeypatch.setenv(name, "secret")
    variables = environment(tmp_path).variables
    assert variables.keys() >= set(told)
    assert "secret" not in variables.values()
