"""What `orbax` and `orbax-async` measure, by hand: python -m bench.plain_orbax METHOD MODEL."""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.dlpack
import torch
from orbax.checkpoint.experimental import v1 as ocp

from bench.plain import model, serve, sync

asynchronous = sys.argv[1] == "orbax-async"


def arrays(state: dict[str, torch.Tensor]) -> dict[str, jax.Array]:
    """The tensors' memory as JAX's arrays."""
    return {name: jax.dlpack.from_dlpack(tensor) for name, tensor in state.items()}


def save(state: dict[str, torch.Tensor], folder: Path) -> None:
    """In the background of copies; TensorStore syncs its own files only."""
    if asynchronous:
        copies = {name: tensor.clone() for name, tensor in state.items()}
        ocp.save_async(folder / "checkpoint", arrays(copies)).result()
    else:
        ocp.save(folder / "checkpoint", arrays(state))
    sync(*folder.rglob("*"), folder, folder.parent)


def load(state: dict[str, torch.Tensor], folder: Path) -> Any:
    """What the model looks like is known."""
    abstract = {
        name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)  # type: ignore[no-untyped-call]
        for name, array in arrays(state).items()
    }
    loaded = ocp.load(folder / "checkpoint", abstract)
    return [array.block_until_ready() for array in loaded.values()]


serve(save, load, model(sys.argv[2]), {"tiny": torch.zeros(2, 2)})
