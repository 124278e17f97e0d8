"""What `pytorch`, `pytorch-tuned` and `pytorch-mmap` measure, by hand (see `bench.plain`)."""

from pathlib import Path

import torch
from torch.utils.serialization import config

from bench.plain import DEVICE, METHOD, Tensors, serve, sync

if METHOD == "pytorch-tuned":
    config.save.compute_crc32 = False
    config.save.storage_alignment = 4096
    config.save.use_pinned_memory_for_d2h = DEVICE.type == "cuda"


def save(state: Tensors, folder: Path) -> None:
    """One zip file."""
    torch.save(state, folder / "checkpoint.pt")
    sync(folder / "checkpoint.pt", folder, folder.parent)


def load(state: Tensors, folder: Path) -> Tensors:
    """Read, or map and read through."""
    mapped = METHOD == "pytorch-mmap"
    loaded = torch.load(folder / "checkpoint.pt", weights_only=True, map_location=DEVICE, mmap=mapped)
    # What was mapped is on the GPU by now, but not in memory of its own on the CPU.
    return {name: tensor.clone() for name, tensor in loaded.items()} if mapped and DEVICE.type == "cpu" else loaded


serve(save, load)
