"""What `safetensors` and `safetensors-pread` measure, by hand: python -m bench.plain_safetensors METHOD MODEL."""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from bench.plain import model, serve, sync

pread = sys.argv[1] == "safetensors-pread"


def save(state: dict[str, torch.Tensor], folder: Path) -> None:
    """One file."""
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    sync(folder / "model.safetensors", folder, folder.parent)


def load(state: dict[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    """Read, or map and read through."""
    if pread:
        return load_file(folder / "model.safetensors", backend="pread")
    return {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}


serve(save, load, model(sys.argv[2]), {"tiny": torch.zeros(2, 2)})
