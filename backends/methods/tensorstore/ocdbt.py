"""All arrays in one database: TensorStore's OCDBT."""

from pathlib import Path
from typing import Any

from backends.methods.entries import method
from backends.methods.tensorstore.zarr3 import Zarr3


@method("ocdbt", "zarr version 3 in one OCDBT database", "TensorStore")
@method("ocdbt+compression", "zarr version 3 in one OCDBT database, compressed", "TensorStore")
class Ocdbt(Zarr3):
    """One zarr version 3 array per tensor, all in one OCDBT database.

    In your code:
        import tensorstore as ts
        from state.chunks import large_chunk_shape  # T5X's rule

        # compressed: codecs gets {"name": "gzip", "configuration": {"level": 1}}, too
        pools = {"file_io_concurrency": {"limit": 128}, "data_copy_concurrency": {"limit": "shared"}}
        context = ts.Context(pools)

        def at(name):
            base = {"driver": "file", "path": f"{folder}/"}
            return {"driver": "zarr3", "kvstore": {"driver": "ocdbt", "base": base, "path": f"{name}/"}}

        def metadata(array):
            chunks = large_chunk_shape(array.shape, array.itemsize, 64 * 2**20)
            grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
            codecs = [{"name": "bytes", "configuration": {"endian": "little"}}]
            return {"chunk_grid": grid, "codecs": codecs}

        writes = []
        for name, tensor in state.items():
            array = tensor.numpy()  # bfloat16: tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
            made = {"create": True, "dtype": array.dtype, "shape": array.shape}
            spec = at(name) | {"metadata": metadata(array)}
            writes.append(ts.open(spec, context=context, **made).result().write(array))
        for write in writes:
            write.result()
        reads = {name: ts.open(at(name), open=True, context=context).result().read() for name in state}
        loaded = {name: torch.from_numpy(read.result()) for name, read in reads.items()}

    What it does:
        OCDBT (optionally cooperative distributed B-tree) is a key-value store in a few large files: chunks and metadata
        of all arrays share them, so that many arrays do not mean many files. Orbax and JAX write it by default.
        `ocdbt+compression` adds the codec.

    Defaults:
        128 file operations, all arrays in flight, chunks of up to 64 MiB by T5X's rule, no codec; data files of up to
        2 GiB, as TensorStore has it.

    Fidelity:
        TensorStore's OCDBT driver over files with its defaults. Orbax and JAX write one database per process and merge
        them; here there is one process. Chunks of zeros are written.

    Sources:
        https://google.github.io/tensorstore/kvstore/ocdbt/index.html
        https://orbax.readthedocs.io/en/latest/guides/checkpoint/optimized_checkpointing.html
    """

    def _kvstore(self, checkpoint: Path, array: str) -> dict[str, Any]:
        base = {"driver": "file", "path": f"{checkpoint.absolute()}/"}
        return {"driver": "ocdbt", "base": base, "path": f"{array}/"}
