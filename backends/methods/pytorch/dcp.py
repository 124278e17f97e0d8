"""PyTorch's distributed checkpoint (DCP) on one process, and in the background."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.storage import StorageReader

from backends.methods.base import AsynchronousMethod, Capabilities, Method
from backends.methods.entries import method
from backends.methods.safetensors.names import pack, unpack
from backends.resources import usable_cores
from backends.storage.folder import sync_path
from backends.tensors import StateDict
from state.needs import MemoryNeed
from state.plan import Plan

#: The name of the method that keeps upstream's defaults.
UPSTREAM: Final = "dcp-upstream"
#: Which names are tied, and which are stand-ins. Only where there are any.
NAMES_FILE: Final = "names.json"
#: One thread of a core writes while another waits for the device: on two cores 1, 2, 4 and 8 threads took 0.37, 0.27,
#: 0.23 and 0.26 s. Each makes a file, so there is an end to it.
_THREADS_PER_CORE: Final = 2
_MAX_THREADS: Final = 16


@method("dcp", "distributed checkpoint, two threads a core", "PyTorch")
@method("dcp-upstream", "distributed checkpoint by upstream's one thread", "PyTorch")
class DCP(Method):
    """Distributed checkpoint, by `torch.distributed.checkpoint.save` and `load` on one process.

    What FSDP and torchtitan save with. It earns its name on many GPUs; here it is one process, without a process group.

    Args:
        threads: How many write; 1 with one file is upstream's default.

    In your code:
        import torch.distributed.checkpoint as dcp

        # thread_count: twice as many as cores, at most 16; upstream's default is 1
        dcp.save(state, storage_writer=dcp.FileSystemWriter(folder, thread_count=4), no_dist=True)
        loaded = {name: torch.empty_like(tensor) for name, tensor in state.items()}
        dcp.load(loaded, storage_reader=dcp.FileSystemReader(folder), no_dist=True)

    What it does:
        `dcp` writes several files at once, each by a thread of its own, which appends tensor after tensor by
        `torch.save`; `dcp-upstream` writes one. What is where goes into `.metadata`, renamed into place at the end.
        Loading allocates the tensors that `.metadata` names and reads into them, one after the other, by one thread:
        through a copy, as upstream does.

    Defaults:
        `dcp`: twice as many threads as cores, at most 16, because half of them wait for the device; tensors are shared
        out by size, one file a thread. (`single_file_per_rank=False`, a file for every tensor, was no faster.)
        `dcp-upstream`: `thread_count=1`. Both: `no_dist=True`, `sync_files` as the run asks.

    Fidelity:
        The very calls of torch 2.13. Whether every tensor was written is looked at afterwards, in the metadata that the
        save returns: an error in all but one of DCP's threads is lost. `.metadata` is synced once more by us: upstream
        syncs it before its buffer is flushed. DCP has no ties and would store a tied tensor twice, so each is stored
        once, and `names.json` beside it says who shares it. `dcp.load` by hand reads every other tensor under its own
        name.

    Sources:
        https://docs.pytorch.org/docs/stable/distributed.checkpoint.html
        https://github.com/pytorch/pytorch/pull/87987
        https://github.com/pytorch/pytorch/issues/193804
    """

    capabilities = Capabilities(syncs_itself=True)

    def __init__(self, threads: int) -> None:
        self._threads = threads

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        """Nothing of the plan applies."""
        return cls(1 if name == UPSTREAM else min(_THREADS_PER_CORE * usable_cores(), _MAX_THREADS))

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """The calls."""
        return {
            "save": "dcp.save(tensors, storage_writer=FileSystemWriter(...), no_dist=True)",
            "load": "dcp.load(empty tensors, storage_reader=FileSystemReader(path), no_dist=True)",
            "thread_count": self._threads,
            "sync_files": durable,
            "threads": self._threads,
        }

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """Files, then `.metadata`."""
        tensors = pack_names(state, folder, durable=durable)
        with ordinary_errors():
            metadata = dcp.save(tensors, storage_writer=self._writer(folder, durable=durable), no_dist=True)
        check_complete(metadata)
        finish_sync(folder, durable=durable)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        """In place into tensors made for it."""
        return load_in_place(dcp.FileSystemReader(folder), folder, device)

    def _writer(self, folder: Path, *, durable: bool) -> dcp.FileSystemWriter:
        return dcp.FileSystemWriter(folder, sync_files=durable, thread_count=self._threads)


@method("dcp-async", "distributed checkpoint, in the background", "PyTorch")
class AsynchronousDCP(DCP, AsynchronousMethod):
    """Distributed checkpoint in the background, by `torch.distributed.checkpoint.async_save`.

    For training that cannot wait for the disk and has memory for a second copy of the weights.

    In your code:
        import torch.distributed.checkpoint as dcp

        writer = dcp.FileSystemWriter(folder, thread_count=4)
        saving = dcp.async_save(state, storage_writer=writer, no_dist=True)
        # train on, and before the next checkpoint:
        saving.result()
        loaded = {name: torch.empty_like(tensor) for name, tensor in state.items()}
        dcp.load(loaded, storage_reader=dcp.FileSystemReader(folder), no_dist=True)

    What it does:
        Copies every tensor to memory of the host, which is the stall, and writes that copy as `dcp` does in a thread
        while training goes on. It shares Python's lock and the cores with the training.

    Defaults:
        Those of `dcp` for the files, a thread for the writing, and the stager that `async_save` makes if it is given
        nothing but a path: a `DefaultStager` that blocks, without CUDA, pinned or shared memory.

    Fidelity:
        The very calls of torch 2.13, without a process group. With a GPU, a `DefaultStager` with pinned memory that is
        kept from one checkpoint to the next makes the stall shorter; a single save would pay for the pinning. Ties,
        names and syncing as for `dcp`.

    Sources:
        https://docs.pytorch.org/docs/stable/distributed.checkpoint.html
        https://docs.pytorch.org/tutorials/recipes/distributed_async_checkpoint_recipe.html
        https://pytorch.org/blog/reducing-checkpointing-times/
    """

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """The calls."""
        save = "dcp.async_save(tensors, storage_writer=FileSystemWriter(...), async_stager=DefaultStager(...))"
        return super().spec(durable=durable) | {"save": save}

    def memory(self, device: str) -> MemoryNeed:
        """A copy of the model."""
        return MemoryNeed(save_copies=1.0)

    def start(self, state: StateDict, folder: Path, *, durable: bool) -> Callable[[], None]:
        """Copy, and go on."""
        tensors = pack_names(state, folder, durable=durable)
        stager = DefaultStager(
            StagingOptions(
                use_pinned_memory=False, use_shared_memory=False, use_async_staging=False, use_non_blocking_copy=False
            )
        )
        writer = self._writer(folder, durable=durable)
        with ExitStack() as stack:
            stack.callback(stager.close)
            writing = dcp.async_save(tensors, storage_writer=writer, async_stager=stager, no_dist=True)
            assert isinstance(writing, Future), "a stager that blocks gives one future"
            until_written = stack.pop_all()

        def finish() -> None:
            with until_written, ordinary_errors():
                metadata = writing.result()
            check_complete(metadata)
            finish_sync(folder, durable=durable)

        return finish

    save = AsynchronousMethod.save


@contextmanager
def ordinary_errors() -> Iterator[None]:
    """Raise what went wrong: DCP wraps it in a `BaseException`, which passes by everybody who handles errors."""
    try:
        yield
    except CheckpointException as error:
        (reason, _where), *_ = error.failures.values()
        raise reason from error


def check_complete(metadata: Metadata) -> None:
    """See that every tensor was written: DCP loses what goes wrong in all but one of its threads, and says nothing.

    Raises:
        RuntimeError: If one was not.
    """
    missing = metadata.state_dict_metadata.keys() - {index.fqn for index in metadata.storage_data}
    if missing:
        count = len(metadata.state_dict_metadata)
        raise RuntimeError(f"DCP wrote {count - len(missing)} of {count} tensors: a thread of its own failed silently")


def pack_names(state: StateDict, folder: Path, *, durable: bool) -> StateDict:
    """Every tensor once; what that loses of ties and names goes into a file first."""
    tensors, names = pack(state)
    if len(names) > 1:  # more than the format
        (folder / NAMES_FILE).write_text(json.dumps(names))
        if durable:
            sync_path(folder / NAMES_FILE)
    return tensors


def finish_sync(folder: Path, *, durable: bool) -> None:
    """Sync what DCP leaves: it syncs `.metadata` while the last of it is still in Python's buffer."""
    if durable:
        sync_path(folder / ".metadata")


def load_in_place(reader: StorageReader, folder: Path, device: torch.device) -> StateDict:
    """Allocate what the checkpoint's metadata name, and read into it."""
    tensors: StateDict = {}
    for name, stored in reader.read_metadata().state_dict_metadata.items():
        assert isinstance(stored, TensorStorageMetadata), "only tensors were saved"
        tensors[name] = torch.empty(stored.size, dtype=stored.properties.dtype, device=device)
    with ordinary_errors():
        dcp.load(tensors, storage_reader=reader, no_dist=True)
    names = folder / NAMES_FILE
    return unpack(tensors, json.loads(names.read_text()) if names.exists() else {})
