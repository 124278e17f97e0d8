"""What `jax` measures, by hand (see `bench.plain`)."""

from pathlib import Path
from typing import Any

import jax
import jax.dlpack
from jax.experimental.array_serialization import pytree_serialization

from bench.plain import DEVICE, Tensors, serve, sync


def save(state: Tensors, folder: Path) -> None:
    """JAX's arrays are the tensors' memory; TensorStore syncs its own files only."""
    arrays = {name: jax.dlpack.from_dlpack(tensor) for name, tensor in state.items()}
    pytree_serialization.save(arrays, folder / "pytree")
    sync(*folder.rglob("*"), folder, folder.parent)


def load(state: Tensors, folder: Path) -> Any:
    """Every array onto the device."""
    sharding = jax.sharding.SingleDeviceSharding(jax.devices(DEVICE.type)[DEVICE.index or 0])
    loaded = pytree_serialization.load(folder / "pytree", sharding)
    return [array.block_until_ready() for array in loaded.values()]


serve(save, load)
