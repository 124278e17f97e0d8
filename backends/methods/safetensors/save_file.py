"""The safetensors library, as practitioners call it, with both of its ways to read."""

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from backends.methods.base import Capabilities, Method
from backends.methods.entries import method
from backends.methods.mapped import read_through
from backends.methods.safetensors.names import DTYPES, pack, unpack
from backends.methods.safetensors.shards import FILE_NAME
from backends.tensors import StateDict
from state.plan import Plan


@method("safetensors", "one mapped file, read through", "PyTorch", requires=("safetensors",))
class Safetensors(Method):
    """One safetensors file, by `save_file` and `load_file`, and then every byte read.

    The format of the Hugging Face hub: safe to open, and read by every library of the field.

    In your code:
        from safetensors.torch import load_file, save_file

        save_file(state, folder / "model.safetensors")  # with tied tensors: save_model(model, path)
        loaded = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}

    What it does:
        Writes a JSON header and the tensors behind it, by one thread, through the page cache. `load_file` maps the file
        and returns before it has read anything, so every tensor is copied, under the clock, into memory of its own. On
        a GPU the copy to the device is that copy.

    Defaults:
        Those of the library. It never syncs, so a durable save is synced by us within the time.

    Fidelity:
        The very calls of safetensors 0.8. Tied tensors are stored once, as `safetensors.torch.save_model` does: the
        other names become entries of the metadata. The file is `model.safetensors`, which `load_file`, `safe_open` and
        `from_pretrained` read as it is. A name that a header cannot hold is stored under a stand-in.

    Sources:
        https://huggingface.co/docs/safetensors/index
        https://huggingface.co/docs/safetensors/torch_shared_tensors
        https://github.com/safetensors/safetensors/blob/v0.8.0/bindings/python/py_src/safetensors/torch.py
    """

    capabilities = Capabilities(dtypes=frozenset(DTYPES), lazy_load=True)
    _backend: ClassVar[Literal["mmap", "pread"]] = "mmap"

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        """Nothing of the plan applies."""
        return cls()

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """The calls."""
        load = f"load_file(path, device, backend={self._backend!r})"
        return {
            "save": "save_file(tensors, path, metadata)",
            "load": f"{load}, then clone() of every tensor" if self.capabilities.lazy_load else load,
        }

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """One file; syncing is left to the caller, as in ``save_file`` itself."""
        tensors, metadata = pack(state)
        save_file(tensors, folder / FILE_NAME, metadata)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        """Every tensor on `device`, in memory of its own."""
        path = folder / FILE_NAME
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path, device=str(device), backend=self._backend)
        if self.capabilities.lazy_load:
            tensors = read_through(tensors, device)
        return unpack(tensors, metadata)


@method("safetensors-pread", "one file, read with pread", "PyTorch", requires=("safetensors",))
class ReadSafetensors(Safetensors):
    """One safetensors file, read with `pread(2)` instead of mapped.

    For cold files and network file systems, where page faults on a mapping are slow.

    In your code:
        from safetensors.torch import load_file, save_file

        save_file(state, folder / "model.safetensors")  # with tied tensors: save_model(model, path)
        loaded = load_file(folder / "model.safetensors", backend="pread")

    What it does:
        Saves as `safetensors`. Loading reads each tensor into memory of its own, by `load_file(backend="pread")`.

    Defaults:
        Those of the library. It never syncs, so a durable save is synced by us within the time.

    Fidelity:
        The very calls of safetensors 0.8, which brought this backend; `load_file` itself maps unless it is told
        otherwise. Names and ties as for `safetensors`.

    Sources:
        https://huggingface.co/docs/safetensors/api/torch
        https://github.com/safetensors/safetensors/blob/v0.8.0/bindings/python/py_src/safetensors/torch.py
    """

    capabilities = Capabilities(dtypes=frozenset(DTYPES))
    _backend = "pread"
