"""What `dcp` and its kin measure, by hand (see `bench.plain`)."""

import os
from concurrent.futures import Future
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

from bench.plain import DEVICE, METHOD, Tensors, serve, sync

threads = 1 if METHOD == "dcp-upstream" else min(2 * len(os.sched_getaffinity(0)), 16)


def save(state: Tensors, folder: Path) -> None:
    """Write; and sync what the library leaves."""
    if METHOD == "dcp-safetensors":
        dcp.save(state, storage_writer=dcp.HuggingFaceStorageWriter(str(folder)), no_dist=True)
        sync(*folder.iterdir(), folder, folder.parent)
        return
    writer = dcp.FileSystemWriter(folder, thread_count=threads)
    if METHOD == "dcp-async":
        stager = DefaultStager(StagingOptions(False, False, False, False))
        writing = dcp.async_save(state, storage_writer=writer, async_stager=stager, no_dist=True)
        assert isinstance(writing, Future)
        writing.result()
    else:
        dcp.save(state, storage_writer=writer, no_dist=True)
    sync(folder / ".metadata", folder, folder.parent)


def load(state: Tensors, folder: Path) -> Tensors:
    """Into empty tensors, as a model without weights has them."""
    empty = {name: torch.empty_like(tensor, device=DEVICE) for name, tensor in state.items()}
    reader = dcp.HuggingFaceStorageReader if METHOD == "dcp-safetensors" else dcp.FileSystemReader
    dcp.load(empty, storage_reader=reader(str(folder)), no_dist=True)
    return empty


serve(save, load)
