"""What the tests of a method stand on: its instances, a disk, and a process that saves."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from backends.methods.base import Method
from backends.storage.folder import filesystem_of
from backends.tensors import StateDict, verify
from backends.testing import samples
from backends.testing.saver import Saver, make, save
from state.errors import UnavailableError
from state.model import Model
from state.optimizations import MIN_CHUNK_BYTES
from state.plan import Plan


class Harness:
    """A method under test.

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
        """Whether a load raises, or gives something else than `state`, which the comparison finds.

        What is raised must be an `Exception`: a run has no reason to show for anything else.
        """
        try:
            verify(self.load(folder), state, self.device)
        except Exception:
            return True
        return False
