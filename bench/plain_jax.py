"""What `jax` measures, by hand: python -m bench.plain_jax METHOD MODEL."""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.dlpack
import torch
from jax.experimental.array_serialization import pytree_serialization

from bench.plain import model, serve, sync


def save(state: dict[str, torch.Tensor], folder: Path) -> None:
    """JAX's arrays are the tensors' memory; TensorStore syncs its own files only."""
    arrays = {name: jax.dlpack.from_dlpack(tensor) for name, tensor in state.items()}
    pytree_serialization.save(arrays, folder / "pytree")
    sync(*folder.rglob("*"), folder, folder.parent)


def load(state: dict[str, torch.Tensor], folder: Path) -> Any:
    """Every array onto the first device."""
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    loaded = pytree_serialization.load(folder / "pytree", sharding)
    return [array.block_until_ready() for array in loaded.values()]


serve(save, load, model(sys.argv[2]), {"tiny": torch.zeros(2, 2)})
