"""Checkpoints of the DCP methods, by hand, and what goes wrong in DCP."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import DefaultStager

from backends.methods.pytorch.dcp import NAMES_FILE, ordinary_errors
from backends.methods.registry import create
from backends.resources import usable_cores
from backends.tensors import verify
from state.plan import Plan

PLAN = Plan()
METHODS = ("dcp", "dcp-upstream", "dcp-async")


@pytest.mark.parametrize("method", [*METHODS, "dcp-safetensors"])
def test_dcp_by_hand_reads_it_and_needs_no_process_group(method: str, tmp_path: Path) -> None:
    state = {"a.weight": torch.randn(30, 7).bfloat16(), "a": torch.tensor(7), "empty": torch.empty(0, 3)}
    create(method, PLAN).save(state, tmp_path, durable=True)
    assert not torch.distributed.is_initialized()
    assert not (tmp_path / NAMES_FILE).exists(), "nothing is beside what upstream writes"
    loaded = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    reader = dcp.HuggingFaceStorageReader if method == "dcp-safetensors" else dcp.FileSystemReader
    dcp.load(loaded, storage_reader=reader(str(tmp_path)), no_dist=True)
    verify(loaded, state)


@pytest.mark.parametrize("method", METHODS)
def test_each_thread_writes_a_file(method: str, tmp_path: Path) -> None:
    made = create(method, PLAN)
    threads = 1 if method == "dcp-upstream" else min(2 * usable_cores(), 16)
    assert made.spec(durable=False)["threads"] == threads
    made.save({str(number): torch.ones(9) for number in range(99)}, tmp_path, durable=False)
    assert len(list(tmp_path.glob("*.distcp"))) == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no process can be bound to a core here")
def test_threads_are_counted_by_the_cores_that_may_be_used() -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert create("dcp", PLAN).spec(durable=False)["threads"] == 2
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize("at", ["write", "start"])
def test_an_asynchronous_save_that_fails_leaves_no_stager_open(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[object] = []

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(DefaultStager, "close", lambda stager: closed.append(stager))
    if at == "write":
        monkeypatch.setattr(dcp.FileSystemWriter, "write_data", fail)
    else:
        monkeypatch.setattr(DefaultStager, "stage", fail)
    with pytest.raises(OSError, match="broken"):
        create("dcp-async", PLAN).save({"a": torch.ones(9)}, tmp_path, durable=True)
    assert len(closed) == 1


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("method", [*METHODS, "dcp-safetensors"])
def test_a_buffered_save_syncs_nothing_and_a_durable_one_does(
    method: str, durable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    monkeypatch.setattr(os, "fsync", lambda fd: synced.add(Path(f"/proc/self/fd/{fd}").readlink().name))
    tied = torch.ones(9)
    create(method, PLAN).save({"a": tied, "b": tied}, tmp_path, durable=durable)
    with_tensors = {path.name for path in tmp_path.iterdir() if path.suffix in (".distcp", ".safetensors")}
    assert with_tensors
    if durable:
        assert {name for name in synced if not name.endswith(".tmp")} >= with_tensors | {"names.json"}
    else:
        assert not synced


def test_what_dcp_wraps_is_raised_as_itself() -> None:
    full = OSError(errno.ENOSPC, "disk full")
    with pytest.raises(OSError, match="disk full"), ordinary_errors():
        raise CheckpointException("", {0: (full, None)})  # type: ignore[dict-item] # the second is only printed


def test_importing_the_methods_starts_no_thread() -> None:
    code = (
        "import psutil, sys; from backends.methods import registry; registry.preload(registry.entries());"
        "names = ('pytorch.dcp', 'jax.orbax');"
        "print(psutil.Process().num_threads(), *(f'backends.methods.{name}' in sys.modules for name in names))"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "True", "True"]
