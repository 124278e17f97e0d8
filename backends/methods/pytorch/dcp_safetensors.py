"""PyTorch's distributed checkpoint in the format of the Hugging Face hub."""

from pathlib import Path
from typing import Any, Final, Self

import torch
import torch.distributed.checkpoint as dcp

from backends.methods.base import Capabilities, Method
from backends.methods.entries import method
from backends.methods.pytorch.dcp import load_in_place, ordinary_errors, pack_names
from backends.methods.safetensors.names import DTYPES
from backends.methods.safetensors.shards import INDEX_NAME
from backends.tensors import StateDict
from state.needs import MemoryNeed
from state.plan import Plan

#: The reader of torch 2.13 looks dtypes up in a table of safetensors 0.8 that lacks this one.
_UNREADABLE: Final = frozenset({"float8_e8m0fnu"})


@method(
    "dcp-safetensors",
    "distributed checkpoint into a file that Hugging Face readers know",
    "PyTorch",
    requires=("safetensors",),
)
class SafetensorsDCP(Method):
    """Distributed checkpoint by `HuggingFaceStorageWriter`: safetensors files from training that uses DCP.

    In your code:
        import torch.distributed.checkpoint as dcp

        dcp.save(state, storage_writer=dcp.HuggingFaceStorageWriter(str(folder)), no_dist=True)
        loaded = {name: torch.empty_like(tensor) for name, tensor in state.items()}
        dcp.load(loaded, storage_reader=dcp.HuggingFaceStorageReader(str(folder)), no_dist=True)

    What it does:
        Serialises the model in memory as one safetensors file, `model-00001-of-00001.safetensors`, and writes that with
        an index, `model.safetensors.index.json`. So it needs memory for two more models while it saves. Loading
        allocates the tensors from the file's header and copies into them from the mapped file.

    Defaults:
        Upstream's: one file, one thread, not consolidated. Consolidation joins what several processes wrote; for one
        process it would write every byte twice and give the same file.

    Fidelity:
        The very calls of torch 2.13. `load_file` and `safe_open` read the file as it is, and `from_pretrained` reads
        the folder with its index. The writer has no argument for syncing, so its attribute `sync_files` is set, and
        whatever it leaves is synced by us. Tied tensors are stored once; `names.json` beside the file says who shares
        them.

    Sources:
        https://docs.pytorch.org/docs/stable/distributed.checkpoint.html
        https://github.com/pytorch/pytorch/blob/v2.13.0/torch/distributed/checkpoint/hf_storage.py
        https://pytorch.org/blog/huggingface-safetensors-support-in-pytorch-distributed-checkpointing/
    """

    capabilities = Capabilities(dtypes=frozenset(DTYPES) - _UNREADABLE, lazy_load=True)

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        """Nothing of the plan applies."""
        return cls()

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """The calls."""
        return {
            "save": "dcp.save(tensors, storage_writer=HuggingFaceStorageWriter(path), no_dist=True)",
            "load": "dcp.load(empty tensors, storage_reader=HuggingFaceStorageReader(path), no_dist=True)",
            "sync_files": durable,
        }

    def memory(self, device: str) -> MemoryNeed:
        """The whole file is made in memory, twice."""
        return MemoryNeed(save_copies=2.0)

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """The file, then the index."""
        tensors = pack_names(state, folder, durable=durable)
        writer = dcp.HuggingFaceStorageWriter(str(folder))
        writer.sync_files = durable
        with ordinary_errors():
            dcp.save(tensors, storage_writer=writer, no_dist=True)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        """In place into tensors made for it, which reads the mapped file through.

        Raises:
            FileNotFoundError: If there is no index. It is written last; the reader itself would take an empty folder
                for an empty model.
        """
        (folder / INDEX_NAME).stat()
        return load_in_place(dcp.HuggingFaceStorageReader(str(folder)), folder, device)
