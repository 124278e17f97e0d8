"""The protocol of a trial, on real files: what it measures, what it proves, and what it never lets pass."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
import torch

from backends.measuring import memory_at_hand
from backends.measuring.shared_model import Arena
from backends.measuring.trial import MethodTrial, check_device_memory
from backends.methods.base import AsynchronousMethod, Method
from backends.methods.pytorch.torch_save import FILE_NAME, PyTorch
from backends.methods.registry import create
from backends.storage import pagecache
from backends.storage.folder import files_below
from backends.storage.pagecache import can_drop_caches, evict, residency
from backends.tensors import StateDict, VerificationError
from backends.testing.samples import in_an_arena
from state.errors import UnavailableError
from state.plan import Cache, Durability, Memory, Operation, Plan
from state.run.records import LoadResult, SaveResult
from tests.backends.samples import folder_on_disk

#: One file, many files, a codec, a few large files. That a trial measures every method is up to the conformance suite.
FEW = ("pytorch", "tensorstore", "t5x", "ts+concurrency+chunks")
#: What the library or we may say about a checkpoint with a wrong bit.
CORRUPT = (VerificationError, ValueError, RuntimeError, ExceptionGroup)
#: TensorStore finishes what is in flight after a load has failed, and reports to an event loop that is closed by then.
ignore_stragglers = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with folder_on_disk(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="module")
def state() -> StateDict:
    weight = (torch.randn(512, 300, generator=torch.Generator().manual_seed(1)) * 0.02).bfloat16()
    return {"weight": weight, "tied": weight, "bias": torch.zeros(300), "steps": torch.arange(5)}


class Bench:
    """One method on one folder: saves, loads, and remembers the phases of the last trial."""

    def __init__(
        self,
        method: str,
        disk: Path,
        cache: Cache = "cold",
        durability: Durability = "durable",
        memory: Memory = "at-hand",
    ) -> None:
        self.plan = Plan(methods=(method,), cache=cache, durability=durability, memory=memory)
        self.folder = disk / "checkpoint"
        self.phases: list[str] = []

    def _trial(self, arena: Arena, operation: Operation) -> MethodTrial:
        self.phases.clear()
        method = create(self.plan.methods[0], self.plan)
        return MethodTrial(method, arena, self.plan, operation, lambda phase, moved_bytes: self.phases.append(phase))

    def save(self, state: StateDict) -> SaveResult:
        with in_an_arena(state) as arena:
            return self._trial(arena, "save").save(self.folder)

    def load(self, source: StateDict) -> LoadResult:
        with in_an_arena(source) as arena:
            return self._trial(arena, "load").load(self.folder)


def save(method: Method, state: StateDict, folder: Path) -> SaveResult:
    """A trial of a method that the registry does not know."""
    with in_an_arena(state) as arena:
        return MethodTrial(method, arena, Plan(), "save", lambda phase, moved_bytes: None).save(folder)


def load(method: Method, source: StateDict, folder: Path) -> LoadResult:
    """Likewise."""
    with in_an_arena(source) as arena:
        return MethodTrial(method, arena, Plan(), "load", lambda phase, moved_bytes: None).load(folder)


class Background(AsynchronousMethod, PyTorch):
    """Goes on with a copy, or pretends to and keeps the tensors themselves."""

    snapshots = True

    def start(self, state: StateDict, folder: Path, *, durable: bool) -> Callable[[], None]:
        copies = {id(t): t.clone() if self.snapshots else t for t in state.values()}
        snapshot = {name: copies[id(tensor)] for name, tensor in state.items()}

        def finish() -> None:
            time.sleep(0.2)
            PyTorch.save(self, snapshot, folder, durable=durable)

        return finish


@pytest.mark.parametrize("snapshots", [True, False])
def test_an_asynchronous_save_has_three_times_and_must_have_taken_a_snapshot(
    disk: Path, state: StateDict, snapshots: bool
) -> None:
    method = Background()
    method.snapshots = snapshots
    saved = save(method, state, disk / "checkpoint")
    assert saved.stall_s is not None
    assert saved.durable_s is not None
    assert saved.stall_s + 0.2 <= saved.returned_s <= saved.durable_s
    if snapshots:
        load(method, state, disk / "checkpoint")
    else:
        with pytest.raises(VerificationError, match="has other bits"):
            load(method, state, disk / "checkpoint")


@pytest.mark.parametrize("method", FEW)
def test_a_durable_save_and_a_cold_load_are_measured_and_proven(method: str, disk: Path, state: StateDict) -> None:
    bench = Bench(method, disk)
    saved = bench.save(state)
    assert bench.phases == ["warm-up", "settle", "measure", "sync", "verify"]
    sizes = [path.stat().st_size for path in bench.folder.rglob("*") if path.is_file()]
    assert (saved.file_count, saved.stored_bytes) == (len(sizes), sum(sizes))
    assert saved.durable_s is not None
    assert 0 < saved.returned_s <= saved.durable_s == saved.time_s
    assert saved.stages_s.keys() == {"warm-up", "settle", "memory", "measure", "sync", "size", "verify"}
    assert saved.stages_s["measure"] + saved.stages_s["sync"] == pytest.approx(saved.durable_s)
    assert saved.spec == create(method, bench.plan).spec(durable=True)

    loaded = bench.load(state)
    assert bench.phases == ["warm-up", "settle", "evict", "measure", "verify"]
    assert list(loaded.stages_s) == ["warm-up", "settle", "evict", "memory", "measure", "verify"]
    assert 0 < loaded.loaded_s == loaded.time_s
    assert loaded.caches_dropped == can_drop_caches()
    # Elsewhere nobody counts what the device delivers.
    assert loaded.cache == ("cold" if psutil.LINUX else "unknown")
    assert not loaded.resident_bytes
    assert [path.name for path in disk.iterdir()] == ["checkpoint"], "the warm-up left something behind"
    for result in (saved, loaded):
        assert msgspec.json.decode(msgspec.json.encode(result), type=SaveResult | LoadResult) == result


@pytest.mark.parametrize("method", FEW)
def test_a_durable_save_syncs_the_checkpoint_s_folder_and_its_parent_after_its_files(
    method: str, disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    bench = Bench(method, disk)
    phases: list[str] = []
    monkeypatch.setattr(bench, "phases", phases)
    bench.save(state)
    assert phases[-2:] == ["sync", "verify"]
    assert synced[-2:] == [str(bench.folder), str(bench.folder.parent)]


def test_the_disk_is_settled_before_every_clock_and_what_it_did_is_told(
    disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench("pytorch", disk)
    seen: list[tuple[Path, tuple[str, ...]]] = []

    def settle(folder: Path) -> bool:
        seen.append((folder, tuple(bench.phases)))
        return False

    monkeypatch.setattr(pagecache, "settle", settle)
    assert not bench.save(state).settled
    assert not bench.load(state).settled
    assert seen == [(bench.folder, ("warm-up", "settle"))] * 2


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere nobody counts what is given to the device")
@pytest.mark.parametrize("method", FEW)
def test_cost_is_counted_under_the_clock(method: str, disk: Path, state: StateDict) -> None:
    bench = Bench(method, disk)
    saved = bench.save(state)
    assert (saved.cost.device_write_bytes or 0) >= saved.stored_bytes
    assert saved.cost.cpu_s > 0
    assert (bench.load(state).cost.peak_rss_bytes or 0) > 10**7


def test_the_time_is_as_long_as_the_method_takes(disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench("pytorch", disk)
    save, load = PyTorch.save, PyTorch.load

    def slow_save(self: PyTorch, state: StateDict, folder: Path, *, durable: bool) -> None:
        time.sleep(0.2)
        save(self, state, folder, durable=durable)

    def slow_load(self: PyTorch, folder: Path, device: torch.device) -> StateDict:
        time.sleep(0.2)
        return load(self, folder, device)

    monkeypatch.setattr(PyTorch, "save", slow_save)
    monkeypatch.setattr(PyTorch, "load", slow_load)
    assert bench.save(state).returned_s >= 0.2
    assert bench.load(state).loaded_s >= 0.2


@pytest.mark.parametrize("method", FEW)
def test_a_buffered_save_has_no_durable_time_and_a_warm_load_is_proven_warm(
    method: str, disk: Path, state: StateDict
) -> None:
    bench = Bench(method, disk, "warm", "buffered")
    saved = bench.save(state)
    assert saved.durable_s is None
    assert saved.time_s == saved.returned_s > 0
    evict(bench.folder)
    loaded = bench.load(state)
    assert loaded.cache == ("warm" if psutil.LINUX else "unknown")
    assert (loaded.resident_bytes or 0) >= saved.stored_bytes
    assert not loaded.caches_dropped


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="dirty pages show by resisting posix_fadvise")
@pytest.mark.parametrize("method", FEW)
def test_after_a_durable_save_no_page_is_dirty_and_after_a_buffered_one_some_are(
    method: str, disk: Path, state: StateDict
) -> None:
    def dirty_after(durability: Durability, number: int) -> bool:
        (storage := disk / f"{durability}-{number}").mkdir()
        bench = Bench(method, storage, durability=durability)
        bench.save(state)
        (bench.folder / "index.json").unlink(missing_ok=True)  # ours, not the library's
        for path in files_below(bench.folder):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # drops what is clean
        seen = residency(bench.folder)
        return seen is not None and seen.resident_bytes > 0

    # Other programs may sync the disk, or hold a page for a moment, between the save and the look.
    assert any(dirty_after("buffered", number) for number in range(5))
    assert not all(dirty_after("durable", number) for number in range(5))


@ignore_stragglers
@pytest.mark.parametrize("cache", ["cold", "warm"])
@pytest.mark.parametrize("method", FEW)
def test_one_flipped_bit_on_the_disk_never_becomes_a_result(
    method: str, cache: Cache, disk: Path, state: StateDict
) -> None:
    bench = Bench(method, disk, cache)
    bench.save(state)
    biggest = max(files_below(bench.folder), key=lambda path: (path.stat().st_size, str(path)))
    assert (biggest.name == "checkpoint.pt") if method == "pytorch" else (biggest.parent.name == "weight")
    data = bytearray(biggest.read_bytes())
    data[len(data) // 2] ^= 1
    biggest.write_bytes(data)
    with pytest.raises(CORRUPT):
        bench.load(state)
    data[len(data) // 2] ^= 1
    biggest.write_bytes(data)
    assert isinstance(bench.load(state), LoadResult)


class Mapping(PyTorch):
    """Gives back tensors that it has not read."""

    def load(self, folder: Path, device: torch.device) -> StateDict:
        state: StateDict = torch.load(folder / FILE_NAME, mmap=True)
        return state


class Elsewhere(PyTorch):
    """Loads to another device than the one asked for."""

    def load(self, folder: Path, device: torch.device) -> StateDict:
        return {name: tensor.to("meta") for name, tensor in super().load(folder, device).items()}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells what is mapped")
@pytest.mark.parametrize(("method", "words"), [(Mapping(), "still mapped"), (Elsewhere(), "is on meta, not on cpu")])
def test_a_load_that_did_not_bring_the_bytes_to_the_device_is_no_result(
    method: PyTorch, words: str, disk: Path, state: StateDict
) -> None:
    save(method, state, disk / "checkpoint")
    with pytest.raises(VerificationError, match=words):
        load(method, state, disk / "checkpoint")


def noting(name: str, function: Callable[..., object], calls: list[str]) -> Callable[..., object]:
    def note(*arguments: object) -> object:
        calls.append(name)
        return function(*arguments)

    return note


def test_nothing_looks_at_the_files_between_dropping_the_caches_and_the_clock(
    disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("evict", "residency", "drop_caches"):
        monkeypatch.setattr(pagecache, name, noting(name, getattr(pagecache, name), calls))
    bench = Bench("tensorstore", disk)
    bench.save(state)
    bench.load(state)
    assert calls[-2:] == ["residency", "drop_caches"], "looking brings back directory entries and inodes"


def asked_for(bench: "Bench", state: StateDict, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The phase before each claim of memory in a save and a load, and how much was asked for."""
    asked: list[tuple[str, int]] = []

    def claim(size_bytes: int) -> int:
        asked.append((bench.phases[-1], size_bytes))
        return size_bytes

    monkeypatch.setattr(memory_at_hand, "claim", claim)
    bench.save(state)
    bench.load(state)
    return asked


def test_everything_that_a_trial_fills_is_at_hand_when_the_clock_starts(
    disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench("pytorch", disk)
    model_bytes = sum(tensor.nbytes for name, tensor in state.items() if name != "tied")
    (_, saving), (_, loading) = asked = asked_for(bench, state, monkeypatch)
    assert [phase for phase, _ in asked] == ["settle", "evict"]
    assert saving == 2 * model_bytes, "the page cache, and what is on the way of a small model"
    checkpoint_bytes = sum(path.stat().st_size for path in files_below(disk / "checkpoint"))
    assert loading == 2 * model_bytes + checkpoint_bytes, "the loaded model, too"


def test_past_the_page_cache_nothing_is_claimed_for_it(
    disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_bytes = sum(tensor.nbytes for name, tensor in state.items() if name != "tied")
    assert [size for _, size in asked_for(Bench("direct", disk), state, monkeypatch)] == [model_bytes, 2 * model_bytes]


@pytest.mark.parametrize(("there", "memory"), [(10**12, "at hand"), (1000, "partly at hand")])
def test_a_result_says_whether_memory_was_at_hand(
    there: int, memory: str, disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_at_hand, "claim", lambda size_bytes: min(size_bytes, there))
    bench = Bench("pytorch", disk)
    saved, loaded = bench.save(state), bench.load(state)
    assert saved.memory == loaded.memory == memory
    assert (saved.memory_missing_bytes > 0) == (loaded.memory_missing_bytes > 0) == (there == 1000)


def test_memory_as_found_claims_nothing_and_says_so(
    disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench("pytorch", disk, memory="as-found")
    assert asked_for(bench, state, monkeypatch) == []
    assert bench.load(state).memory == "as found"


@pytest.mark.parametrize("cache", ["cold", "warm"])
def test_the_page_cache_is_made_ready_after_memory_was_claimed_if_warm_and_before_it_if_cold(
    cache: Cache, disk: Path, state: StateDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asked_for(Bench("pytorch", disk, cache=cache), state, monkeypatch)
    assert [phase for phase, _ in asked] == ["settle", "evict" if cache == "cold" else "settle"]


def test_a_model_for_which_a_device_has_no_room_is_refused_with_figures() -> None:
    check_device_memory(10**9, torch.device("cuda:1"), 10**9, 8 * 10**9)
    with pytest.raises(UnavailableError, match=r"needs 1\.00 GB on cuda:1, which has 900 MB of 8\.00 GB free"):
        check_device_memory(10**9, torch.device("cuda:1"), 9 * 10**8, 8 * 10**9)
