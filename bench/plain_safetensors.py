"""What `safetensors` and `safetensors-pread` measure, by hand (see `bench.plain`)."""

from pathlib import Path

from safetensors.torch import load_file, save_file

from bench.plain import DEVICE, METHOD, Tensors, serve, sync

pread = METHOD == "safetensors-pread"


def save(state: Tensors, folder: Path) -> None:
    """One file."""
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    sync(folder / "model.safetensors", folder, folder.parent)


def load(state: Tensors, folder: Path) -> Tensors:
    """Read, or map and read through."""
    if pread:
        return load_file(folder / "model.safetensors", str(DEVICE), backend="pread")
    loaded = load_file(folder / "model.safetensors", str(DEVICE))
    # What was mapped is on the GPU by now, but not in memory of its own on the CPU.
    return {name: tensor.clone() for name, tensor in loaded.items()} if DEVICE.type == "cpu" else loaded


serve(save, load)
