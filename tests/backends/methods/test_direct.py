"""`direct`: the standard format for every reader, all or nothing, bounded buffers, and what if O_DIRECT is refused."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from backends.methods import direct
from backends.methods.direct import BLOCKS, Direct
from backends.methods.safetensors import shards
from backends.methods.safetensors.header import DamagedFileError
from backends.methods.safetensors.shards import FILE_NAME, INDEX_NAME, file_names, split
from backends.storage import folder
from backends.storage.blocks import DIRECT, write_at
from backends.tensors import StateDict, verify
from state.analysis.results import method_results
from state.plan import Plan
from state.units import MIB
from tests.backends.runs import measure
from tests.backends.samples import CPU, REAL_FOLDER, folder_on_disk, random_tensor

SMALL_SHARDS = 200_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with folder_on_disk(tmp_path) as folder:
        yield folder


@pytest.fixture
def state() -> StateDict:
    tensors = {f"layer.{n}.weight": random_tensor("bfloat16", (250, 160 + n), n) for n in range(7)}
    tensors |= {"steps": torch.arange(3), "mask": torch.ones(3, dtype=torch.bool), "none": torch.zeros(0, 4)}
    return tensors | {"head": tensors["layer.0.weight"]}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_one_file_is_read_by_the_library(disk: Path, state: StateDict) -> None:
    Direct().save(state, disk, durable=True)
    assert names(disk) == [FILE_NAME]
    stored = {name: tensor for name, tensor in state.items() if name != "head"}
    verify(load_file(disk / FILE_NAME), stored)
    with safe_open(disk / FILE_NAME, framework="pt") as file:
        assert file.metadata() == {"format": "pt", "head": "layer.0.weight"}
    verify(Direct().load(disk, CPU), state, CPU)


def test_several_files_come_with_the_index_that_readers_expect(disk: Path, state: StateDict) -> None:
    Direct(SMALL_SHARDS).save(state, disk, durable=True)
    index = json.loads((disk / INDEX_NAME).read_bytes())
    assert names(disk) == sorted({INDEX_NAME, *index["weight_map"].values()})
    stored: StateDict = {}
    for file in set(index["weight_map"].values()):
        tensors = load_file(disk / file)
        assert {name for name, where in index["weight_map"].items() if where == file} == tensors.keys()
        stored |= tensors
    verify(stored, {name: tensor for name, tensor in state.items() if name != "head"})
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in stored.values())
    verify(Direct().load(disk, CPU), state, CPU)


@pytest.mark.parametrize("shard_bytes", [10**12, 20_000_000])
def test_transformers_makes_the_real_model_of_it(disk: Path, shard_bytes: int) -> None:
    shutil.copy(REAL_FOLDER / "config.json", disk)
    expected = AutoModel.from_pretrained(REAL_FOLDER)
    Direct(shard_bytes).save(expected.state_dict(), disk, durable=False)
    assert (disk / INDEX_NAME).exists() == (shard_bytes < 10**12)
    model = AutoModel.from_pretrained(disk)
    verify(dict(model.state_dict()), dict(expected.state_dict()))
    tokens = torch.tensor([[101, 7592, 2088, 102]])
    with torch.no_grad():
        assert torch.equal(model(tokens).last_hidden_state, expected(tokens).last_hidden_state)


def test_it_reads_files_of_the_library_whatever_their_header(disk: Path, state: StateDict) -> None:
    stored = {name: tensor for name, tensor in state.items() if name != "head"}
    save_file(stored, disk / FILE_NAME)
    verify(Direct().load(disk, CPU), stored, CPU)
    save_file({"b": torch.ones(3, dtype=torch.uint8), "a": torch.ones(5)}, disk / FILE_NAME)
    content = (disk / FILE_NAME).read_bytes()
    size = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + size])
    table["a"]["data_offsets"], table["b"]["data_offsets"] = [3, 23], [0, 3]  # a float that begins at an odd byte
    text = json.dumps(table).encode()
    data = bytes([1] * 3) + torch.ones(5).numpy().tobytes()
    (disk / FILE_NAME).write_bytes(len(text).to_bytes(8, "little") + text + data)
    verify(Direct().load(disk, CPU), {"b": torch.ones(3, dtype=torch.uint8), "a": torch.ones(5)}, CPU)


@pytest.mark.parametrize("spaces", range(9))
def test_tensors_lie_right_in_memory_wherever_their_data_begin(disk: Path, state: StateDict, spaces: int) -> None:
    """A header may be followed by any number of spaces; the library's own data begin on a multiple of 8."""
    stored = {name: tensor for name, tensor in state.items() if name != "head"}
    save_file(stored, disk / FILE_NAME)
    content = (disk / FILE_NAME).read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = content[8:end] + b" " * spaces
    (disk / FILE_NAME).write_bytes(len(header).to_bytes(8, "little") + header + content[end:])
    loaded = Direct().load(disk, CPU)
    verify(loaded, stored, CPU)
    assert all(tensor.data_ptr() % tensor.itemsize == 0 for tensor in loaded.values())


def test_a_file_without_a_byte_of_data_is_loaded(disk: Path) -> None:
    state = {"none": torch.zeros(0, 4)}
    Direct().save(state, disk, durable=True)
    verify(Direct().load(disk, CPU), state, CPU)
    save_file(state, disk / FILE_NAME)
    verify(Direct().load(disk, CPU), state, CPU)


def test_what_is_found_to_be_fastest_is_what_it_saves_with(
    disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[Any] = []

    def choose(patterns: Any, attempt: Callable[[Any], float]) -> Any:
        times_s = {pattern: attempt(pattern) for pattern in patterns}
        tuned.append(times_s)
        return patterns[-1], times_s

    sizes: list[int] = []

    def note(fd: int, size_bytes: int) -> None:
        sizes.append(size_bytes)
        folder.preallocate(fd, size_bytes)

    monkeypatch.setattr(direct, "choose", choose)
    monkeypatch.setattr(direct, "preallocate", note)
    method = Direct()
    method.tune(disk, CPU, MIB)
    assert names(disk) == []
    assert [*tuned[0]] == [*direct.PATTERNS]
    assert max(sizes) < 2 * MIB, "no more than the model has"
    assert all(time_s > 0 for time_s in tuned[0].values())
    spec = method.spec(durable=True)
    assert (spec["block_bytes"], spec["depth"]) == direct.PATTERNS[-1]
    assert len(spec["tried"]) == len(direct.PATTERNS)
    method.save(state, disk, durable=True)
    verify(load_file(disk / FILE_NAME), {name: tensor for name, tensor in state.items() if name != "head"})


def test_tuning_on_a_full_disk_leaves_nothing(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(direct, "write_at", full)
    with pytest.raises(OSError, match="full"):
        Direct().tune(disk, CPU, MIB)
    assert names(disk) == []


@pytest.mark.skipif(not psutil.LINUX, reason="nobody tells the peak of a process's memory there")
def test_memory_beyond_the_model_is_little_more_than_the_buffers(disk: Path) -> None:
    run, _ = measure(Plan(model=str(REAL_FOLDER), storage=str(disk), repeats=1, methods=("direct",)))
    (result,) = method_results(run)
    assert result.save is not None
    assert result.load is not None
    assert result.logical_bytes is not None
    buffers_bytes = BLOCKS.block_bytes * BLOCKS.depth  # made in the warm-up, so not in what rises under the clock
    assert buffers_bytes <= 64 * MIB
    assert result.logical_bytes > 4 * buffers_bytes, "or a second copy of the model would not be seen"
    for extra_bytes, kept_bytes in (
        (result.save.extra_rss_bytes, 0),
        (result.load.extra_rss_bytes, result.logical_bytes),
    ):
        assert extra_bytes is not None
        assert extra_bytes - kept_bytes <= 8 * MIB


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("shard_bytes", [10**12, SMALL_SHARDS])
def test_a_write_that_fails_is_raised_and_leaves_nothing(
    disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch, code: int, shard_bytes: int
) -> None:
    count = 0

    def failing(fd: int, content: memoryview, offset: int) -> None:
        nonlocal count
        count += 1
        if count == 2 or (shard_bytes > 10**9 and offset == 0):
            raise OSError(code, os.strerror(code))
        write_at(fd, content, offset)

    monkeypatch.setattr(direct, "write_at", failing)
    with pytest.raises(OSError, match=os.strerror(code)):
        Direct(shard_bytes).save(state, disk, durable=True)
    assert names(disk) == []


@pytest.mark.parametrize("durable", [True, False])
def test_what_is_durable_is_synced_before_it_gets_its_name(
    disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    done: list[str] = []
    rename = Path.rename

    def renaming(self: Path, target: Path) -> Path:
        done.append(f"rename {target.name}")
        return rename(self, target)

    for module in (direct, shards):
        monkeypatch.setattr(module, "full_sync", lambda fd: done.append("sync"))
    monkeypatch.setattr(Path, "rename", renaming)
    Direct(SMALL_SHARDS).save(state, disk, durable=durable)
    files = [f"rename {name}" for name in file_names(len(names(disk)) - 1)]
    assert done == [*(["sync"] * len(names(disk)) if durable else ()), *files, f"rename {INDEX_NAME}"]


def test_a_folder_with_a_checkpoint_is_refused_and_the_checkpoint_stays(disk: Path, state: StateDict) -> None:
    Direct().save(state, disk, durable=False)
    with pytest.raises(FileExistsError, match="choose an empty folder"):
        Direct().save(state, disk, durable=False)
    verify(Direct().load(disk, CPU), state, CPU)


def test_a_failure_while_files_get_their_names_leaves_none(
    disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target.name == INDEX_NAME:
            raise OSError(errno.EIO, "broken")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="broken"):
        Direct(SMALL_SHARDS).save(state, disk, durable=True)
    assert names(disk) == []


def refused_on_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    open_ = os.open

    def refusing(path: str, flags: int, *rest: Any, **more: Any) -> int:
        if flags & DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return open_(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refusing)


def refused_on_use(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    for name in ("write_at", "read_at"):
        honest = getattr(direct, name)

        def refusing(fd: int, content: memoryview, *places: int, honest: Callable[..., None] = honest) -> None:
            if fcntl.fcntl(fd, fcntl.F_GETFL) & DIRECT:
                raise OSError(errno.EINVAL, "Invalid argument")
            honest(fd, content, *places)

        monkeypatch.setattr(direct, name, refusing)


@pytest.mark.skipif(not DIRECT, reason="this system has no O_DIRECT that could be refused")
@pytest.mark.parametrize("refuse", [refused_on_opening, refused_on_use])
def test_where_direct_io_is_refused_it_goes_through_the_page_cache_and_says_so(
    disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch, refuse: Callable[[pytest.MonkeyPatch], None]
) -> None:
    refuse(monkeypatch)
    method = Direct()
    assert "note" not in method.spec(durable=True)
    method.save(state, disk, durable=True)
    assert "through the page cache" in method.spec(durable=True)["note"]
    verify(Direct().load(disk, CPU), state, CPU)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def lengthen(path: Path) -> None:
    os.truncate(path, path.stat().st_size + 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("damage", [cut, lengthen, empty])
def test_a_file_of_another_size_is_refused(disk: Path, state: StateDict, damage: Callable[[Path], None]) -> None:
    Direct().save(state, disk, durable=False)
    damage(disk / FILE_NAME)
    with pytest.raises(DamagedFileError):
        Direct().load(disk, CPU)


def test_half_a_set_is_no_checkpoint(disk: Path, state: StateDict) -> None:
    Direct(SMALL_SHARDS).save(state, disk, durable=False)
    index = (disk / INDEX_NAME).read_bytes()
    (disk / INDEX_NAME).unlink()
    with pytest.raises(FileNotFoundError):
        Direct().load(disk, CPU)
    for damaged in (b"{", index.replace(b"layer.3", b"layer.9"), index.replace(b"model-00002", b"../model-00002")):
        (disk / INDEX_NAME).write_bytes(damaged)
        with pytest.raises(DamagedFileError):
            Direct().load(disk, CPU)


def test_shards_are_as_full_as_they_may_be() -> None:
    sizes = [3, 4, 9, 1, 1, 5]
    tensors = {str(n): torch.zeros(size, dtype=torch.uint8) for n, size in enumerate(sizes)}
    assert [[t.nbytes for t in shard.values()] for shard in split(tensors, 7)] == [[3, 4], [9], [1, 1, 5]]
    assert split({}, 7) == [{}]
    assert file_names(1) == [FILE_NAME]
    assert file_names(2)[1] == "model-00002-of-00002.safetensors"
