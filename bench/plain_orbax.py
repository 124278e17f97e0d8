"""What `orbax` and `orbax-async` measure, by hand (see `bench.plain`)."""

from pathlib import Path
from typing import Any

import jax
import jax.dlpack
from orbax.checkpoint.experimental import v1 as ocp

from bench.plain import DEVICE, METHOD, Tensors, serve, sync

asynchronous = METHOD == "orbax-async"


def arrays(state: Tensors) -> dict[str, jax.Array]:
    """The tensors' memory as JAX's arrays."""
    return {name: jax.dlpack.from_dlpack(tensor) for name, tensor in state.items()}


def save(state: Tensors, folder: Path) -> None:
    """In the background of copies; TensorStore syncs its own files only."""
    if asynchronous:
        # From a GPU, Orbax itself copies.
        copies = state if DEVICE.type == "cuda" else {name: tensor.clone() for name, tensor in state.items()}
        ocp.save_async(folder / "checkpoint", arrays(copies)).result()
    else:
        ocp.save(folder / "checkpoint", arrays(state))
    sync(*folder.rglob("*"), folder, folder.parent)


def load(state: Tensors, folder: Path) -> Any:
    """What the model looks like is known, and where it belongs."""
    sharding = jax.sharding.SingleDeviceSharding(jax.devices(DEVICE.type)[DEVICE.index or 0])
    abstract = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)  # type: ignore[no-untyped-call]
        for name, array in arrays(state).items()
    }
    loaded = ocp.load(folder / "checkpoint", abstract)
    return [array.block_until_ready() for array in loaded.values()]


serve(save, load)
