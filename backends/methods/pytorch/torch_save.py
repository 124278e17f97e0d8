"""``torch.save`` and ``torch.load``: with their defaults, with every setting that makes them faster, and mapped."""

from pathlib import Path
from typing import Any, Final, Self

import torch
from torch.utils.serialization import config

from backends.methods.base import Capabilities, Method
from backends.methods.entries import method
from backends.methods.mapped import read_through
from backends.nested import flatten, nest
from backends.tensors import StateDict
from state.plan import Plan

FILE_NAME: Final = "checkpoint.pt"
#: What a page of memory and a block of most file systems have.
_ALIGNMENT_BYTES: Final = 4096


@method("pytorch", "torch.save and torch.load: one zip file", "PyTorch")
class PyTorch(Method):
    """A state dict as one zip file, by `torch.save` and `torch.load` as most training code calls them.

    In your code:
        path = folder / "checkpoint.pt"
        with path.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())  # torch.save returns before the bytes are on the device
        loaded = torch.load(path, weights_only=True)

    What it does:
        Writes an uncompressed zip file: a pickle of the names, dtypes and shapes, and a record for every storage, which
        tied tensors share. A checksum is computed of every record. Loading reads each record into new memory, one
        after the other, by one thread.

    Defaults:
        Those of PyTorch: crc32 on, records aligned to 64 bytes, `weights_only=True` for loading. It never syncs, so a
        durable save is synced by us within the time.

    Fidelity:
        The very calls of torch 2.13, nothing around them. `weights_only=True` is the default since torch 2.6.

    Sources:
        https://docs.pytorch.org/docs/stable/notes/serialization.html
        https://docs.pytorch.org/docs/stable/generated/torch.save.html
    """

    capabilities = Capabilities(nested=True)

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        """Nothing of the plan applies."""
        return cls()

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """The two calls."""
        return {"save": "torch.save(state_dict, path)", "load": "torch.load(path, weights_only=True, map_location)"}

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """One file; syncing is left to the caller, as in ``torch.save`` itself."""
        torch.save(state, folder / FILE_NAME)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        """Every tensor straight to `device`."""
        state: StateDict = torch.load(folder / FILE_NAME, weights_only=True, map_location=device)
        return state


@method("pytorch-tuned", "torch.save without checksums, aligned", "PyTorch")
class TunedPyTorch(PyTorch):
    """`torch.save` with the settings of its own that make it faster; `torch.load` reads the file as any other.

    Worth two lines of training code wherever `torch.save` stays: the file remains one that everybody can load.

    In your code:
        from torch.utils.serialization import config

        config.save.compute_crc32 = False
        config.save.storage_alignment = 4096
        # on a GPU also: config.save.use_pinned_memory_for_d2h = True
        with (folder / "checkpoint.pt").open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        loaded = torch.load(folder / "checkpoint.pt", weights_only=True)

    What it does:
        As `pytorch`, but no checksum is computed, every record starts at a page's boundary, and tensors of a GPU come
        to the host through pinned memory.

    Defaults:
        `torch.utils.serialization.config.save` with `compute_crc32=False`, `storage_alignment=4096` and, for tensors on
        a GPU, `use_pinned_memory_for_d2h=True`; patched for the call and restored after it. Loading has no setting
        that would help a load which reads every byte, so it is that of `pytorch`. It never syncs: we do.

    Fidelity:
        The very calls of torch 2.13 under documented settings. Without checksums, tools that unpack zip files may
        complain, and nobody can see from the file alone whether a bit of it has flipped; `torch.load` checks neither
        way.

    Sources:
        https://docs.pytorch.org/docs/stable/notes/serialization.html
        https://github.com/pytorch/pytorch/pull/143342
        https://github.com/pytorch/pytorch/blob/v2.13.0/torch/utils/serialization/config.py
    """

    def __init__(self, *, on_gpu: bool) -> None:
        self._on_gpu = on_gpu

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        """For tensors on the plan's device."""
        return cls(on_gpu=plan.device != "cpu")

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """The two calls and the settings."""
        return super().spec(durable=durable) | {"config.save": _settings(on_gpu=self._on_gpu)}

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """One file, under settings that last for this call."""
        settings = {f"save.{name}": value for name, value in _settings(on_gpu=self._on_gpu).items()}
        with config.patch(settings):  # type: ignore[attr-defined] # torch puts it there when it is imported
            super().save(state, folder, durable=durable)


@method("pytorch-mmap", "torch.load(mmap=True), read through", "PyTorch")
class MappedPyTorch(PyTorch):
    """`torch.load(mmap=True)`, and then every byte read.

    For whoever uses `mmap=True` because it "loads at once": that call returns before it has read anything. This is what
    it costs until the weights can be used and the file may go away.

    In your code:
        torch.save(state, folder / "checkpoint.pt")
        mapped = torch.load(folder / "checkpoint.pt", weights_only=True, mmap=True)
        loaded = {name: tensor.clone() for name, tensor in mapped.items()}  # or only those that you need

    What it does:
        Saves as `pytorch`. Loading maps the file and copies every tensor out of it, under the clock, into memory of its
        own. On a GPU the copy to the device is that copy.

    Defaults:
        Those of PyTorch apart from `mmap=True`: a private mapping, read as the kernel reads ahead.

    Fidelity:
        The very calls of torch 2.13, and `Tensor.clone` for each unique tensor. Code that needs only a few of the
        tensors pays only for these, which is what the call is for; here all are needed.

    Sources:
        https://docs.pytorch.org/docs/stable/generated/torch.load.html
        https://docs.pytorch.org/tutorials/recipes/recipes/module_load_state_dict_tips.html
    """

    capabilities = Capabilities(nested=True, lazy_load=True)

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """The calls."""
        load = "torch.load(path, mmap=True, weights_only=True, map_location), then clone() of every tensor"
        return super().spec(durable=durable) | {"load": load}

    def load(self, folder: Path, device: torch.device) -> StateDict:
        """Map, and read through."""
        mapped: StateDict = torch.load(folder / FILE_NAME, weights_only=True, map_location=device, mmap=True)
        return nest(read_through(flatten(mapped), device))


def _settings(*, on_gpu: bool) -> dict[str, Any]:
    """What `TunedPyTorch` sets, by its name in ``torch.utils.serialization.config.save``."""
    return {"compute_crc32": False, "storage_alignment": _ALIGNMENT_BYTES, "use_pinned_memory_for_d2h": on_gpu}
