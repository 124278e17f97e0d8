"""What `pytorch`, `pytorch-tuned` and `pytorch-mmap` measure, by hand: python -m bench.plain_pytorch METHOD MODEL."""

import sys
from pathlib import Path

import torch
from torch.utils.serialization import config

from bench.plain import model, serve, sync

method = sys.argv[1]
if method == "pytorch-tuned":
    config.save.compute_crc32 = False
    config.save.storage_alignment = 4096


def save(state: dict[str, torch.Tensor], folder: Path) -> None:
    """One zip file."""
    torch.save(state, folder / "checkpoint.pt")
    sync(folder / "checkpoint.pt", folder, folder.parent)


def load(state: dict[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    """Read, or map and read through."""
    mapped = method == "pytorch-mmap"
    loaded = torch.load(folder / "checkpoint.pt", weights_only=True, map_location="cpu", mmap=mapped)
    return {name: tensor.clone() for name, tensor in loaded.items()} if mapped else loaded


serve(save, load, model(sys.argv[2]), {"tiny": torch.zeros(2, 2)})
