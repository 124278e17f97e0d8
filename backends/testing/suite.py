"""What every method must do, as a class of tests that others inherit."""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest
import torch

from backends import pagecache
from backends.measure import MethodTrial, refuse_mapped
from backends.methods.base import AsynchronousMethod, Method
from backends.storage import files_below, filesystem_of
from backends.tensors import StateDict, VerificationError, unique_tensors, verify
from backends.testing import samples
from backends.testing.saver import Order, Saver, make, save
from state.errors import UnavailableError
from state.model import Model, TensorInfo
from state.optimizations import MIN_CHUNK_BYTES
from state.plan import Operation, Plan
from state.run import LoadResult, SaveResult

_FILE_LIMIT_BYTES: Final = 4096
#: Enough of a random tensor to be found in a file, and what a row of the smallest tile has.
_PATTERN_BYTES: Final = 32

# A library may finish in another thread what it began before a load failed, and complain when nobody listens any more.
ignore_stragglers = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)


class MethodTests:
    """The conformance suite: inherit, and name the method.

    Attributes:
        method: Its name in the entry-point group `ckpt_tui.methods`, or its class, which must stand at the top of a
            module that can be imported.
        plan: What it is created with. Its device is where the tensors are: ``cpu``, or ``cuda`` where there is one.
        tiny_tensors: Of how many tensors the model of tiny tensors is.
        kills: How often a save is killed.
    """

    method: str | type[Method]
    plan: Plan = Plan(chunk_bytes=MIN_CHUNK_BYTES, concurrency=8)
    tiny_tensors: int = 5000
    kills: int = 10

    # What tests are made of ----------------------------------------------------------------------------------------

    @pytest.fixture
    def disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """An empty folder, beside which nothing may appear; the working folder is another empty one."""
        if filesystem_of(tmp_path).type in ("tmpfs", "ramfs"):
            pytest.fail(f"{tmp_path} is in memory, and methods behave otherwise there: give pytest a --basetemp")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "disk").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        return tmp_path / "disk"

    @pytest.fixture(scope="class")
    def saver(self, request: pytest.FixtureRequest) -> Iterator[Saver]:
        """A process that saves in children of its own."""
        with Saver([str(request.config.rootpath), *sys.path]) as saver:
            yield saver

    @property
    def target(self) -> str:
        """The method as another process can find it."""
        return self.method if isinstance(self.method, str) else f"{self.method.__module__}:{self.method.__qualname__}"

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return torch.device(self.plan.device)

    def state(self, tensors: StateDict) -> StateDict:
        """Tensors as a run hands them over."""
        return samples.as_in_a_run(tensors, self.plan.device)

    def make(self) -> Method:
        """A fresh instance, as each trial has one."""
        return make(self.target, self.plan)

    def refusal(self, model: Model) -> UnavailableError | None:
        """Why a run would leave the method out."""
        return self.make().refusal(model, self.plan.device)

    def save(self, state: StateDict, folder: Path, *, durable: bool = False) -> None:
        """Save with an instance of its own, and see that the model is as before."""
        folder.mkdir(parents=True, exist_ok=True)
        before = samples.bits(state)
        save(self.make(), state, folder, durable=durable)
        assert samples.bits(state) == before, "saving changed the model"

    def load(self, folder: Path) -> StateDict:
        """Load with an instance of its own."""
        return self.make().load(folder, self.device)

    def round_trip(self, state: StateDict, folder: Path) -> StateDict:
        """Save, load, and compare every bit."""
        self.save(state, folder)
        loaded = self.load(folder)
        verify(loaded, state, self.device)
        return loaded

    def notices(self, state: StateDict, folder: Path) -> bool:
        """Whether a load raises, or gives something else than `state`, which the comparison finds."""
        try:
            verify(self.load(folder), state, self.device)
        except Exception:
            return True
        return False

    # What it can hold ----------------------------------------------------------------------------------------------

    @pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
    def test_every_dtype_that_it_claims_comes_back_bit_for_bit_in_every_shape(self, disk: Path) -> None:
        claimed = self.make().capabilities.dtypes
        dtypes = [dtype for dtype in samples.DTYPES if claimed is None or dtype in claimed]
        assert "float32" in dtypes, "the warm-up of every trial is in float32"
        assert len(dtypes) == len(claimed or dtypes), f"torch has only {dtypes} of {claimed}"
        state = self.state(samples.every_dtype_and_shape(dtypes))
        assert self.refusal(samples.table(state)) is None
        self.round_trip(state, disk)

    def test_what_it_does_not_claim_is_refused_before_a_run(self) -> None:
        capabilities = self.make().capabilities
        for dtype in samples.DTYPES:
            model = Model("m", "", (TensorInfo("a", "float32", (1,), 4), TensorInfo("b", dtype, (0,), 0)))
            refusal = self.refusal(model)
            if capabilities.dtypes is None or dtype in capabilities.dtypes:
                assert refusal is None
            else:
                assert isinstance(refusal, UnavailableError)
                assert dtype in refusal.what
        model = Model("m", "", (TensorInfo("a", "float32", (1,), 4),))
        for device in ("cpu", "cuda", "cuda:1", "mps"):
            assert (self.make().refusal(model, device) is None) == (device.split(":")[0] in capabilities.devices)

    def test_tensors_that_were_not_contiguous_come_back(self, disk: Path) -> None:
        tensors = samples.not_contiguous()
        verify(self.round_trip(self.state(tensors), disk), tensors, self.device)

    def test_a_large_tensor_comes_back(self, disk: Path) -> None:
        self.round_trip(self.state(samples.large()), disk)

    def test_thousands_of_tiny_tensors_and_ties_come_back(self, disk: Path) -> None:
        self.round_trip(self.state(samples.tiny(self.tiny_tensors)), disk)

    def test_any_name_comes_back_or_is_refused_before_a_run_and_nothing_is_written_outside(self, disk: Path) -> None:
        names = (*samples.NAMES, str(disk.parent / "absolute"), f"file://{disk.parent}/url")
        state = {name: torch.full((2, 3), float(number)) for number, name in enumerate(names)}
        state = {name: tensor for name, tensor in state.items() if self.refusal(samples.table({name: tensor})) is None}
        assert {"a", "a.b", "a..b", "é", "0.0"} <= state.keys(), "it refuses names that models have"
        folder = disk / "one" / "checkpoint"
        self.round_trip(self.state(state), folder)
        outside = {path.name for path in disk.parent.rglob("*") if not path.is_relative_to(folder)}
        assert outside == {"disk", "elsewhere", "one"}, "something was written outside"

    def test_the_folders_above_may_have_any_name(self, disk: Path) -> None:
        state = self.state({"weight": samples.random_tensor("float32", (70, 3)), "B": torch.ones(())})
        folder = disk.joinpath(*samples.FOLDERS, "checkpoint")
        self.round_trip(state, folder)
        above = {*samples.FOLDERS, "disk", "elsewhere"}
        assert {path.name for path in disk.parent.rglob("*") if not path.is_relative_to(folder)} == above

    # What it gives back --------------------------------------------------------------------------------------------

    def test_loaded_tensors_are_in_memory_of_their_own_that_only_ties_share(self, disk: Path) -> None:
        """Neither in the source's nor in a mapped file's: what changes later must not change the model."""
        tied = samples.random_tensor("float32", (90, 90))
        state = self.state({"head": tied, "steps": torch.arange(7), "body": tied.clone(), "embed": tied})
        loaded = self.round_trip(state, disk)
        refuse_mapped(loaded, disk)
        before = samples.bits(loaded)
        for path in files_below(disk):
            path.write_bytes(bytes(path.stat().st_size))
        for tensor in state.values():
            tensor.zero_()
        assert samples.bits(loaded) == before, "what was loaded lies in the source's memory or in a file"
        loaded["head"].fill_(3)
        assert (loaded["embed"] == 3).all()
        assert samples.bits(loaded)["body"] == before["body"]

    @ignore_stragglers
    def test_a_lost_file_is_noticed(self, disk: Path) -> None:
        """A lost chunk too, which some formats read as zeros. A file may be one that a load does not need."""
        state = _two_tensors()
        self.round_trip(state, disk)
        files = sorted(files_below(disk), key=lambda path: path.stat().st_size)
        noticed = {}
        for path in files[-8:]:
            hidden = path.rename(disk.parent / "hidden")
            noticed[path] = self.notices(state, disk)
            hidden.rename(path)
        assert noticed[files[-1]], f"{files[-1].name} is lost, and a load gives the model all the same"
        self.round_trip(state, disk.parent / "disk-2")

    @ignore_stragglers
    def test_a_flipped_bit_is_noticed(self, disk: Path) -> None:
        state = _two_tensors()
        self.round_trip(state, disk)
        for path, offset, what in _places(state, disk):
            _flip(path, offset)
            assert self.notices(state, disk), f"nobody sees a flipped bit of {path.name} at {offset} in {what}"
            _flip(path, offset)
        verify(self.load(disk), state, self.device)

    # When something goes wrong -------------------------------------------------------------------------------------

    @ignore_stragglers
    def test_after_a_kill_at_any_moment_a_load_gives_the_whole_model_or_raises(self, disk: Path, saver: Saver) -> None:
        state, dice = self.state(samples.layers()), random.Random(self.target)
        assert self.notices(state, _made(disk / "empty"))
        whole = saver.do(Order(self.target, self.plan, str(_made(disk / "whole"))))
        assert whole.end == "returned", saver.log()
        verify(self.load(disk / "whole"), state, self.device)
        for number in range(self.kills):
            folder = _made(disk / str(number))
            kill_after_s = whole.save_s * 1.1 * (number + dice.random()) / self.kills
            outcome = saver.do(Order(self.target, self.plan, str(folder), kill_after_s))
            assert outcome.end in ("killed", "returned"), saver.log()
            try:
                loaded = self.load(folder)
            except Exception:
                assert outcome.end == "killed", "the save had returned"
                continue
            try:
                verify(loaded, state, self.device)
            except VerificationError as error:
                pytest.fail(f"killed after {kill_after_s:.3f} of {whole.save_s:.3f} s, a load does not raise: {error}")

    @ignore_stragglers
    def test_a_save_that_cannot_write_raises(self, disk: Path, saver: Saver) -> None:
        """As on a full disk: no file may become larger than a page. An asynchronous save says so at its end."""
        outcome = saver.do(Order(self.target, self.plan, str(disk), file_limit_bytes=_FILE_LIMIT_BYTES))
        assert outcome.end == "raised", f"a save that could not write {outcome.end}: {saver.log()}"
        assert self.notices(self.state(samples.layers()), disk)

    # In a trial ----------------------------------------------------------------------------------------------------

    def test_what_changes_after_the_stall_is_not_in_the_checkpoint(self, disk: Path) -> None:
        method = self.make()
        if not isinstance(method, AsynchronousMethod):
            pytest.skip("it is not asynchronous")
        state = self.state(samples.large() | samples.every_dtype_and_shape(["float32"]))
        before = {name: tensor.clone() for name, tensor in unique_tensors(state)[0].items()}
        finish = method.start(state, disk, durable=False)
        for name in before:
            state[name].view(-1).view(torch.uint8).bitwise_not_()
        finish()
        loaded = self.load(disk)
        verify({name: loaded[name] for name in before}, before, self.device)

    def test_a_trial_measures_it(self, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pagecache, "settle", lambda folder: True)  # nobody looks at the times here
        state = self.state(_two_tensors())

        def trial(operation: Operation) -> MethodTrial:
            return MethodTrial(self.make(), state, self.plan, operation, lambda phase, moved_bytes: None)

        saved, loaded = trial("save").save(disk / "checkpoint"), trial("load").load(disk / "checkpoint")
        assert saved.durable_s is not None
        if isinstance(self.make(), AsynchronousMethod):
            assert saved.stall_s is not None
            assert 0 < saved.stall_s <= saved.returned_s <= saved.durable_s
        else:
            assert saved.stall_s is None
        assert [path.name for path in disk.iterdir()] == ["checkpoint"], "the warm-up left something behind"
        for result in (saved, loaded):
            assert msgspec.json.decode(msgspec.json.encode(result), type=SaveResult | LoadResult) == result

    @pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="dirty pages show by resisting posix_fadvise")
    def test_what_it_syncs_itself_is_on_the_device(self, disk: Path) -> None:
        if not self.make().capabilities.syncs_itself:
            pytest.skip("it leaves syncing to us")
        state = self.state(_two_tensors())

        def dirty_bytes(folder: Path) -> int:
            self.save(state, folder, durable=True)
            for path in files_below(folder):
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # drops what is clean
            seen = pagecache.residency(folder)
            return seen.resident_bytes if seen else 0

        # Another program may hold a page for a moment.
        assert not all(dirty_bytes(disk / str(number)) for number in range(3)), "some of it is not on the device"


def _two_tensors() -> StateDict:
    """A matrix that is one chunk or several, and a vector."""
    return {
        "weight": samples.random_tensor("float32", (200, 200), 1),
        "bias": samples.random_tensor("float32", (8,), 2),
    }


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _places(state: StateDict, folder: Path) -> Iterator[tuple[Path, int, str]]:
    """Where the first, a middle and the last bytes of each tensor lie: file, offset, which.

    What is not found as it is was compressed, so it must be in the middle of the largest files.
    """
    contents = {path: path.read_bytes() for path in files_below(folder)}
    for name, tensor in state.items():
        content = samples.raw(tensor)
        last = len(content) - _PATTERN_BYTES
        for start in sorted({0, last // 2 // _PATTERN_BYTES * _PATTERN_BYTES, last}):
            pattern = content[start : start + _PATTERN_BYTES]
            found = [(path, at) for path, file in contents.items() if (at := file.find(pattern)) >= 0]
            yield from ((path, at + _PATTERN_BYTES // 2, f"{name!r}") for path, at in found)
    largest = max(contents, key=lambda path: len(contents[path]))
    yield largest, len(contents[largest]) // 2, "the largest file"


def _flip(path: Path, offset: int) -> None:
    """Turn one bit over."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 16]))
