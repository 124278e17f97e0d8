"""Methods with one flaw each, for the conformance suite to find. A module of its own, as children import it."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import unquote

import torch

from backends.methods.base import AsynchronousMethod, Capabilities, Method
from backends.nested import flatten
from backends.tensors import StateDict, unique_tensors
from state.errors import UnavailableError
from state.model import Model
from state.needs import MemoryNeed
from state.plan import Plan


class Sound(Method):
    """One file, and no flaw."""

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        return cls()

    def spec(self, *, durable: bool) -> dict[str, Any]:
        return {}

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        torch.save(state, folder / "data")

    def load(self, folder: Path, device: torch.device) -> StateDict:
        state: StateDict = torch.load(folder / "data", map_location=device)
        return state


class DropsATensor(Sound):
    def load(self, folder: Path, device: torch.device) -> StateDict:
        return dict(list(super().load(folder, device).items())[1:])


class Converts(Sound):
    """To float16, which has fewer exponents, and back."""

    def load(self, folder: Path, device: torch.device) -> StateDict:
        state = super().load(folder, device)
        return {name: t.half().bfloat16() if t.dtype is torch.bfloat16 else t for name, t in state.items()}


class Unties(Sound):
    def load(self, folder: Path, device: torch.device) -> StateDict:
        return {name: tensor.clone() for name, tensor in super().load(folder, device).items()}


class LosesStructure(Sound):
    """Says that it takes dictionaries in dictionaries, and brings back one."""

    capabilities = Capabilities(nested=True)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        return flatten(super().load(folder, device))


class ChangesTheModel(Sound):
    """Quiets NaNs where they are."""

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        super().save(state, folder, durable=durable)
        for tensor in state.values():
            if tensor.dtype is torch.float32:
                tensor.nan_to_num_()


class TurnsSquares(Sound):
    """Column-major, where they are."""

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        for tensor in unique_tensors(state)[0].values():
            if tensor.ndim == 2:
                tensor.t_()
        super().save(state, folder, durable=durable)


class TakesTensorsOut(Sound):
    """One after the other, to have less in memory."""

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        super().save({name: state.pop(name) for name in list(state)}, folder, durable=durable)


class CutsAfter16MiB(Sound):
    def load(self, folder: Path, device: torch.device) -> StateDict:
        state = super().load(folder, device)
        for tensor in state.values():
            tensor.view(-1).view(torch.uint8)[1 << 24 :] = 0
        return state


class CountsTo1024(Sound):
    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        super().save(dict(list(state.items())[:1024]), folder, durable=durable)


class RefusesNothing(Sound):
    capabilities = Capabilities(dtypes=frozenset({"float32"}))

    def refusal(self, model: Model, device: str) -> UnavailableError | None:
        return None


class RefusesPlainNames(Sound):
    def refusal(self, model: Model, device: str) -> UnavailableError | None:
        dotted = any("." in tensor.name for tensor in model.tensors)
        return UnavailableError("no dots", "rename them") if dotted else super().refusal(model, device)


class LosesSurrogates(Sound):
    def load(self, folder: Path, device: torch.device) -> StateDict:
        state = super().load(folder, device)
        return {name.encode(errors="replace").decode(): tensor for name, tensor in state.items()}


class WritesOutside(Sound):
    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        super().save(state, folder, durable=durable)
        folder.with_name("log").touch()


class WritesWhereItWorks(Sound):
    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        super().save(state, folder, durable=durable)
        Path("core").touch()


class TakesFoldersForUrls(Sound):
    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        (url := Path(unquote(str(folder)))).mkdir(parents=True, exist_ok=True)
        super().save(state, url, durable=durable)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        return super().load(Path(unquote(str(folder))), device)


class LeavesAMapping(Sound):
    def load(self, folder: Path, device: torch.device) -> StateDict:
        state: StateDict = torch.load(folder / "data", map_location=device, mmap=True)
        return state


class Remembers(Sound):
    """Has a cache, and does not look at the file a second time."""

    cache: ClassVar[dict[Path, StateDict]] = {}

    def load(self, folder: Path, device: torch.device) -> StateDict:
        if folder not in self.cache:
            self.cache[folder] = super().load(folder, device)
        tensors, aliases = unique_tensors(self.cache[folder])
        copies = {name: tensor.clone() for name, tensor in tensors.items()}
        return copies | {alias: copies[name] for alias, name in aliases.items()}


class TakesWhatIsThere(Sound):
    """A file for each tensor, in any number."""

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        tensors, aliases = unique_tensors(state)
        for number, (name, tensor) in enumerate(tensors.items()):
            tied = [alias for alias, first in aliases.items() if first == name]
            torch.save(dict.fromkeys((name, *tied), tensor), folder / str(number))
            time.sleep(0.002)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        state: StateDict = {}
        for path in folder.iterdir():
            state |= torch.load(path, map_location=device)
        return state


class SwallowsErrors(Sound):
    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        try:
            super().save(state, folder, durable=durable)
        except (OSError, RuntimeError) as error:
            print(error)


class HangsOnErrors(Sound):
    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        try:
            super().save(state, folder, durable=durable)
        except (OSError, RuntimeError):
            time.sleep(3600)


class PretendsToSync(Sound):
    capabilities = Capabilities(syncs_itself=True)


class HidesCopies(Sound):
    """Works with a copy of the model, and says nothing of it."""

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        super().save({name: tensor.clone() for name, tensor in state.items()}, folder, durable=durable)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        first = super().load(folder, device)
        copies = {id(tensor): tensor.clone() for tensor in first.values()}
        return {name: copies[id(tensor)] for name, tensor in first.items()}


class BoastsCopies(Sound):
    """Says that it works with a copy of the model, and does not."""

    def memory(self, device: str) -> MemoryNeed:
        return MemoryNeed(save_copies=1.0, load_copies=2.0)


class HidesItsPages(Sound):
    """Says that it goes past the page cache, and goes through it."""

    def memory(self, device: str) -> MemoryNeed:
        return MemoryNeed(page_cache_copies=0.0)


class DropsItsPages(Sound):
    """Leaves nothing in the page cache, and does not say so."""

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        super().save(state, folder, durable=durable)
        drop_pages(folder / "data")

    def load(self, folder: Path, device: torch.device) -> StateDict:
        state = super().load(folder, device)
        drop_pages(folder / "data")
        return state


class SaysThatItDropsItsPages(DropsItsPages):
    """No flaw."""

    def memory(self, device: str) -> MemoryNeed:
        return MemoryNeed(page_cache_copies=0.0)


class MapsInSilence(Sound):
    """Maps its file and reads it through, without `lazy_load`."""

    def load(self, folder: Path, device: torch.device) -> StateDict:
        state: StateDict = torch.load(folder / "data", map_location=device, mmap=True)
        return {name: tensor.clone() for name, tensor in state.items()}


def drop_pages(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Background(AsynchronousMethod, Sound):
    """No flaw: copies, and writes in a thread."""

    def memory(self, device: str) -> MemoryNeed:
        return MemoryNeed(save_copies=1.0)

    def snapshot(self, state: StateDict) -> StateDict:
        copies = {id(tensor): tensor.clone() for tensor in unique_tensors(state)[0].values()}
        return {name: copies[id(tensor)] for name, tensor in state.items()}

    def start(self, state: StateDict, folder: Path, *, durable: bool) -> Callable[[], None]:
        snapshot, failures = self.snapshot(state), list[BaseException]()

        def write() -> None:
            try:
                Sound.save(self, snapshot, folder, durable=durable)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=write)
        thread.start()

        def finish() -> None:
            thread.join()
            self.report(failures)

        return finish

    def report(self, failures: list[BaseException]) -> None:
        for failure in failures:
            raise failure


class TakesNoSnapshot(Background):
    def snapshot(self, state: StateDict) -> StateDict:
        return state


class FailsInSilence(Background):
    def report(self, failures: list[BaseException]) -> None:
        pass
