"""``jax.experimental.array_serialization``: what comes with JAX itself."""

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import tensorstore as ts
import torch
from jax.experimental.array_serialization import pytree_serialization, tensorstore_impl

from backends.methods.entries import method
from backends.methods.jax.arrays import JAXMethod, sharding_on, to_jax, to_torch
from backends.methods.jax.leaves import Leaves
from backends.tensors import StateDict
from state.needs import MemoryNeed

FOLDER_NAME: Final = "pytree"
#: Upstream's own, as JSON; TensorStore cannot be asked for it without what it opened.
_CONTEXT: Final = {
    "file_io_concurrency": {"limit": 128},
    "data_copy_concurrency": {"limit": 128},
    "cache_pool": {"total_bytes_limit": 10_000_000_000},
}


@method("jax", "JAX's own array serialization: zarr 3 in one store", "JAX", requires=("tensorstore", "flatbuffers"))
class JAX(JAXMethod):
    """A dictionary of JAX arrays, by `save` and `load` of `jax.experimental.array_serialization`.

    JAX's own, with TensorStore and flatbuffers beneath. Its authors call it simple and experimental and send whoever
    wants more to Orbax.

    In your code:
        from jax.experimental.array_serialization import pytree_serialization

        # in a JAX program: the arrays of its state, and their sharding
        arrays = {name: jax.dlpack.from_dlpack(tensor) for name, tensor in state.items()}
        pytree_serialization.save(arrays, folder / "pytree")
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        loaded = pytree_serialization.load(folder / "pytree", sharding)

    What it does:
        Writes every array as one zarr (version 3) array through TensorStore, all of them into one key-value store
        (OCDBT): a handful of files, however many arrays. `pytreedef.json` says how they belong together. All arrays are
        in flight at once; loading allocates each, fills it, and hands it to the device.

    Defaults:
        JAX's: no codec, chunks of 100 million elements or 2 GiB at most, 128 threads for files and 128 for copying, a
        cache of 10 GB, empty when a load begins. TensorStore syncs what it writes; `pytreedef.json` and the folders are
        synced by us within the time.

    Fidelity:
        The very calls of jax 0.10.2, `pytree_serialization.save` and `load`, under `jax_enable_x64`. The tensors go to
        JAX and come back as the same memory, so no conversion is in the time. Each call gets a TensorStore context with
        upstream's settings: in the one that JAX keeps, a load would find in memory what was saved before, and syncing,
        which a buffered save leaves out, has no setting. Chunks of zeros are not written, as upstream has it. JAX does
        not see that a save was killed and may load zeros then; `leaves.json`, which we write at the end, lets us see
        it. It also says which names are tied. Names other than plain ones are keys with a digest.

    Sources:
        https://docs.jax.dev/en/latest/jax.experimental.array_serialization.html
        https://github.com/jax-ml/jax/blob/jax-v0.10.2/jax/experimental/array_serialization/pytree_serialization.py
        https://google.github.io/tensorstore/kvstore/ocdbt/index.html
    """

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """The calls, and what they tell TensorStore."""
        return {
            "save": "pytree_serialization.save(arrays, path)",
            "load": "pytree_serialization.load(path, sharding)",
            "driver": "zarr3",
            "kvstore": "ocdbt",
            "codecs": [],
            "context": _CONTEXT | {"file_io_sync": durable},
        }

    def memory(self, device: str) -> MemoryNeed:
        """Copies on the way to the disk, and what is read before it is put together."""
        return MemoryNeed(save_copies=1.0, load_copies=2.25)

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """The arrays, then what they do not say."""
        leaves = Leaves.of(state)
        arrays = {leaf.key: to_jax(state[name]) for name, leaf in leaves.leaves.items()}
        with _fresh_context(sync=durable):
            pytree_serialization.save(arrays, folder / FOLDER_NAME)
        leaves.write(folder)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        """Every array onto one device."""
        leaves = Leaves.read(folder)
        with _fresh_context(sync=False):
            arrays = pytree_serialization.load(folder / FOLDER_NAME, sharding_on(device))
        return leaves.with_ties({name: to_torch(arrays[leaf.key]) for name, leaf in leaves.leaves.items()})


def _fresh_context(*, sync: bool) -> AbstractContextManager[object]:
    """Let JAX use a context of its own settings that is new. It looks these functions up whenever it calls them."""
    context = ts.Context(_CONTEXT | {"cache_pool#remote": _CONTEXT["cache_pool"], "file_io_sync": sync})
    return patch.multiple(
        tensorstore_impl,
        async_serialize=partial(tensorstore_impl.async_serialize, context=context),
        async_deserialize=partial(tensorstore_impl.async_deserialize, context=context),
    )
