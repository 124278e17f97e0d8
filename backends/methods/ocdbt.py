"""All arrays in one database: TensorStore's OCDBT."""

from pathlib import Path
from typing import Any

from backends.methods.zarr3 import Zarr3


class Ocdbt(Zarr3):
    """One zarr version 3 array per tensor, all in one OCDBT database.

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
