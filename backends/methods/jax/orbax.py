"""Orbax, at once and in the background."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import jax
import torch
from orbax.checkpoint.experimental import v1 as ocp

from backends.methods.base import AsynchronousMethod
from backends.methods.entries import method
from backends.methods.jax.arrays import JAXMethod, sharding_on, to_jax, to_torch
from backends.methods.jax.leaves import Leaf, Leaves
from backends.tensors import StateDict, numpy_dtype
from state.needs import MemoryNeed
from state.units import MIB

FOLDER_NAME: Final = "checkpoint"
#: A load of 134 MB rose by up to 1.4 models and 110 MB more, one of 537 MB by 1.4 models and 107 MB.
_IN_FLIGHT_BYTES: Final = 128 * MIB


@method(
    "orbax",
    "Orbax with its defaults: zarr 3 and zstd in one store",
    "JAX",
    requires=("orbax.checkpoint", "tensorstore"),
    install="ckpt-tui[orbax]",
)
class Orbax(JAXMethod):
    """A dictionary of JAX arrays, by `save` and `load` of Orbax.

    What most JAX training code checkpoints with. It earns its name on many hosts; here it is one process.

    In your code:
        from orbax.checkpoint.experimental import v1 as ocp

        # in a JAX program: the arrays of its state
        arrays = {name: jax.dlpack.from_dlpack(tensor) for name, tensor in state.items()}
        ocp.save(folder / "checkpoint", arrays)
        loaded = ocp.load(folder / "checkpoint", arrays)  # of the arrays, shape, dtype and sharding

    What it does:
        Writes every array as one zarr (version 3) array through TensorStore, compressed, all of them into a key-value
        store of its process (OCDBT), and merges that into the store of the checkpoint, which refers to it. Tree, dtypes
        and shardings stand in files beside. All is written under a temporary name and renamed at the end. Loading
        allocates each array, fills it, and hands it to the device.

    Defaults:
        Orbax's: zarr 3 with zstd, OCDBT, one chunk per array, 128 threads for files, as many for copying and
        compressing as there are cores (four at least), validation after the merge. TensorStore syncs what it writes;
        the rest and the folders are synced by us within the time.

    Fidelity:
        The very calls of orbax-checkpoint 0.12.8, version 1 of its interface, under `jax_enable_x64`. Loading is told
        dtypes, shapes and the device, as Orbax recommends. The tensors go to JAX and come back as the same memory, so
        no conversion is in the time. A buffered save turns TensorStore's syncing off, for which Orbax has no setting.
        Orbax refuses arrays without elements and has no ties: both stand in `leaves.json`, which we write beside its
        checkpoint. Names other than plain ones are keys with a digest.

    Sources:
        https://orbax.readthedocs.io/en/latest/
        https://github.com/google/orbax/tree/main/checkpoint/orbax/checkpoint/experimental/v1
        https://google.github.io/tensorstore/kvstore/ocdbt/index.html
    """

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """The calls and what they leave to Orbax."""
        saving = ocp.Context().array.saving
        return {
            "save": "ocp.save(path, arrays)",
            "load": "ocp.load(path, abstract arrays)",
            "array.saving": {
                name: getattr(saving, name)
                for name in ("use_ocdbt", "use_zarr3", "use_compression", "ocdbt_target_data_file_size")
            },
            "file_io_sync": durable,
        }

    def memory(self, device: str) -> MemoryNeed:
        """What is compressed and not written yet, and what is read and not decoded yet."""
        return MemoryNeed(save_copies=1.0, load_copies=1.4, in_flight_bytes=_IN_FLIGHT_BYTES)

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """The arrays, then what they do not say."""
        leaves = Leaves.of(state)
        with _syncing(durable):
            ocp.save(folder.absolute() / FOLDER_NAME, _arrays(leaves, state))
        leaves.write(folder)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        """Every array onto one device."""
        leaves, sharding = Leaves.read(folder), sharding_on(device)

        def abstract(leaf: Leaf) -> jax.ShapeDtypeStruct:
            dtype = numpy_dtype(leaf.dtype)
            return jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=sharding)  # type: ignore[no-untyped-call]

        wanted = {leaf.key: abstract(leaf) for leaf in leaves.leaves.values() if not leaf.empty}
        arrays = ocp.load(folder.absolute() / FOLDER_NAME, wanted)

        def tensor(leaf: Leaf) -> torch.Tensor:
            if leaf.empty:
                return torch.empty(leaf.shape, dtype=getattr(torch, leaf.dtype), device=device)
            return to_torch(arrays[leaf.key])

        return leaves.with_ties({name: tensor(leaf) for name, leaf in leaves.leaves.items()})


@method(
    "orbax-async",
    "Orbax, in the background",
    "JAX",
    requires=("orbax.checkpoint", "tensorstore"),
    install="ckpt-tui[orbax]",
)
class AsynchronousOrbax(Orbax, AsynchronousMethod):
    """A dictionary of JAX arrays in the background, by `save_async` of Orbax.

    For training that cannot wait for the disk and has memory for two more copies of the weights: one that does not
    change, and what is compressed and not written yet.

    In your code:
        from orbax.checkpoint.experimental import v1 as ocp

        # torch tensors change, so JAX gets copies; the arrays of a JAX program need none
        arrays = {name: jax.dlpack.from_dlpack(tensor.clone()) for name, tensor in state.items()}
        saving = ocp.save_async(folder / "checkpoint", arrays)
        # train on, and before the next checkpoint:
        saving.result()
        loaded = ocp.load(folder / "checkpoint", arrays)

    What it does:
        On a GPU, Orbax copies every array to memory of the host, which is the stall; on the CPU we do, and it lasts as
        long as copying the model. Compressing, writing, merging and renaming go on in threads, which share the cores
        with the training.

    Defaults:
        Those of `orbax`.

    Fidelity:
        The very calls of orbax-checkpoint 0.12.8, `save_async` and `result`. On the CPU Orbax itself copies nothing: it
        relies on JAX's promise that an array never changes, and a training step in JAX makes new arrays. Weights that
        are changed in place, as torch's are, would show up in such a checkpoint (they do: a test tries it), so they
        are copied first. Without that, the stall of training in JAX on a CPU is shorter than what stands here. All else
        as for `orbax`.

    Sources:
        https://orbax.readthedocs.io/en/latest/guides/checkpoint/async_checkpointing.html
        https://github.com/google/orbax/blob/main/checkpoint/orbax/checkpoint/experimental/v1/_src/saving/saving.py
    """

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """The calls."""
        return super().spec(durable=durable) | {"save": "ocp.save_async(path, copies of the arrays), then result()"}

    def memory(self, device: str) -> MemoryNeed:
        """A copy of the model, too."""
        return MemoryNeed(save_copies=2.0, load_copies=1.4, in_flight_bytes=_IN_FLIGHT_BYTES)

    def start(self, state: StateDict, folder: Path, *, durable: bool) -> Callable[[], None]:
        """Copy, and go on."""
        leaves = Leaves.of(state)
        copies = {name: state[name] if state[name].is_cuda else state[name].clone() for name in leaves.leaves}
        with ExitStack() as stack:
            stack.enter_context(_syncing(durable))
            response = ocp.save_async(folder.absolute() / FOLDER_NAME, _arrays(leaves, copies))
            until_written = stack.pop_all()

        def finish() -> None:
            with until_written:
                response.result()
            leaves.write(folder)

        return finish

    save = AsynchronousMethod.save


def _arrays(leaves: Leaves, state: StateDict) -> dict[str, jax.Array]:
    """What Orbax is given."""
    return {leaf.key: to_jax(state[name]) for name, leaf in leaves.leaves.items() if not leaf.empty}


def _syncing(durable: bool) -> AbstractContextManager[object]:
    """Have the TensorStore contexts that Orbax makes during a save sync, as they do by default, or not."""
    if durable:
        return nullcontext()
    from orbax.checkpoint._src.serialization import tensorstore_utils  # private: only where nothing public will do

    return patch.dict(tensorstore_utils._DEFAULT_OCDBT_TS_CONTEXT, {"file_io_sync": False})
