"""What a method is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
import torch

from backends.tensors import StateDict
from state.errors import UnavailableError
from state.model import Model
from state.needs import MemoryNeed
from state.plan import Plan


class Capabilities(msgspec.Struct, frozen=True):
    """What a method can do, told before a run instead of found out during it.

    Attributes:
        devices: Kinds of devices that it saves from and loads to.
        dtypes: torch names of the dtypes that it keeps as they are; None for all.
        syncs_itself: Whether its save, asked to be durable, syncs every file that it writes and every folder that it
            makes. The checkpoint's own folder and its parent are always synced by us, under the clock.
        nested: Whether it takes dictionaries in dictionaries, and brings them back. Others get a training state as one
            dictionary with paths for names (`backends.nested`).
        lazy_load: Whether the library's load maps the file and reads later. The method reads it through, under the
            clock.
    """

    devices: frozenset[str] = frozenset({"cpu", "cuda"})
    dtypes: frozenset[str] | None = None
    syncs_itself: bool = False
    nested: bool = False
    lazy_load: bool = False


class Method(ABC):
    """A named way to save and load a model.

    An instance lives in a process of its own for one save or one load. What it does before `save` or `load` is
    called is not timed; what it does inside is, to the last line.
    """

    capabilities: ClassVar[Capabilities] = Capabilities()

    @classmethod
    @abstractmethod
    def create(cls, name: str, plan: Plan) -> Self:
        """The method of this name with the plan's values."""

    @abstractmethod
    def spec(self, *, durable: bool) -> dict[str, Any]:
        """What the library is told to do by a save, in its own terms. Goes into the results as JSON.

        A method that computes on several threads says how many as ``threads``, or its processor time is held against
        one core.
        """

    @abstractmethod
    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """Write a checkpoint.

        Args:
            state: Contiguous tensors on their device. A tied tensor occurs as the same object under several names.
                All of it must stay as it is, for a training run goes on with it.
            folder: An empty folder. Nothing may be written outside.
            durable: If `Capabilities.syncs_itself`, whether all must be on the device on return. False means that
                nobody syncs.
        """

    @abstractmethod
    def load(self, folder: Path, device: torch.device) -> StateDict:
        """Read the checkpoint back.

        Returns:
            Every name with its tensor, in memory of its own on `device`; tied tensors share it again. A tensor that
            is still mapped from a file has not been read: such a load is refused.
        """

    def tune(self, folder: Path, device: torch.device, size_bytes: int) -> None:  # noqa: B027 - most have nothing to find
        """Find out what suits the storage; a save's trial asks for it before the clock.

        Args:
            folder: On the storage. Nothing may stay there.
            device: Where the tensors will be.
            size_bytes: How large the model is: no more need be tried.
        """

    def parts_s(self) -> Mapping[str, float]:
        """What the parts of its last save or load took, in seconds summed over threads; empty if it cannot tell.

        The names are ``device-to-host``, ``encode``, ``write`` and ``sync`` of a save, ``read``, ``decode`` and
        ``host-to-device`` of a load; several in one name, joined by ``+``, where the library does not tell them apart.
        """
        return {}

    def memory(self, device: str) -> MemoryNeed:
        """What it takes beyond the model that is saved.

        The conformance suite compares it with what a save and a load fill; ``python -m bench.memory`` measures it for
        models of any size.
        """
        return MemoryNeed()

    def refusal(self, model: Model, device: str) -> UnavailableError | None:
        """Why this method cannot take this model on this device, and what to do, or None if it can."""
        if device.partition(":")[0] not in self.capabilities.devices:
            return UnavailableError(f"it cannot save from {device}", "choose another --device or leave the method out")
        if self.capabilities.dtypes is not None:
            foreign = [dtype for dtype in model.dtypes if dtype not in self.capabilities.dtypes]
            if foreign:
                return UnavailableError(
                    f"it cannot hold {', '.join(foreign)}", "choose another --dtype or leave the method out"
                )
        return None


class AsynchronousMethod(Method):
    """A method that lets the training loop go on before the checkpoint is written."""

    @abstractmethod
    def start(self, state: StateDict, folder: Path, *, durable: bool) -> Callable[[], None]:
        """Begin a save, and come back when the training loop may change the tensors: the time until then is its stall.

        What is changed from then on must not show up in the checkpoint.

        Args:
            state: As for `Method.save`.
            folder: As for `Method.save`.
            durable: As for `Method.save`, on return of what this returns.

        Returns:
            Waits until the checkpoint is written, and raises what went wrong meanwhile.
        """

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """Begin, and wait for the end."""
        self.start(state, folder, durable=durable)()
