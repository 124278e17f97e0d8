"""From what `--model` says to a source of tensors, and what a model's bits are worth to a compressor."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import torch

from backends.models.architectures import architectures
from backends.models.names import check_size, kind_of, path_of
from backends.models.weight_files import Weights
from state.errors import ModelError
from state.model import Model
from state.units import MIB

_SAFETENSORS: Final = ("*.safetensors", "*.safetensors.index.json")
_PICKLES: Final = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
#: What to ask for in turn, and whether the cache alone may answer. Many repositories hold the same weights twice.
_HUB_TRIES: Final = ((True, _SAFETENSORS + _PICKLES), (False, _SAFETENSORS), (False, _PICKLES))


class Source(Protocol):
    """Where a model's tensors come from."""

    def table(self) -> Model:
        """Names, dtypes and shapes, without the values."""

    def fill(self, views: Mapping[str, torch.Tensor]) -> None:
        """Write the values of every unique tensor into its view, without a second copy of the whole."""


def open_source(model: str, *, size_bytes: int | None, dtype: str, seed: int) -> Source:
    """The source of a preset, of files on the disk, or of a hub id, tried in this order.

    Raises:
        ModelError: If there is no such model, or it cannot be had as asked for.
    """
    check_size(model, size_bytes)
    kind, path = kind_of(model), path_of(model)
    if kind == "preset":
        from backends.models.presets import Preset  # transformers takes seconds to import, and files do not need it

        return Preset(model, architectures()[model], size_bytes=size_bytes, dtype=dtype, seed=seed)
    if kind == "hub" or path is None:
        return _hub_weights(model, dtype)
    return Weights(model, path, dtype=dtype)


def _hub_weights(hub_id: str, dtype: str) -> Weights:
    """The weights of a hub model, from the cache if they are all there. Files in folders below are other formats."""
    import huggingface_hub

    for local_files_only, patterns in _HUB_TRIES:
        try:
            folder = huggingface_hub.snapshot_download(
                hub_id,
                allow_patterns=list(patterns),
                ignore_patterns=["*/*"],
                local_files_only=local_files_only,
                etag_timeout=10,
            )
            return Weights(hub_id, Path(folder), dtype=dtype)
        except ModelError as error:  # the cache may hold a part, the hub the other format
            reason = error.what
        except Exception as error:  # its own errors, those of the HTTP library beneath, those of the disk
            reason = type(error).__name__
            if not local_files_only:
                break
    raise ModelError(
        f"{hub_id!r} is no path here, and the hub gave no weights for it ({reason})",
        "check the name, the network and your access token, or download it and give the folder",
    )


def gzip_ratio(views: Mapping[str, torch.Tensor], sample_bytes: int = 8 * MIB) -> tuple[float, bool]:
    """Compressed over raw size by gzip level 1, as T5X's default codec would see it.

    Args:
        views: The unique tensors.
        sample_bytes: About how much to compress at most; every tensor gives its share from its middle.

    Returns:
        The ratio (1.0 for a model without bytes) and whether it comes from a sample.
    """
    total = sum(view.nbytes for view in views.values())
    share = min(1.0, sample_bytes / total) if total else 1.0
    raw = compressed = 0
    for view in views.values():
        data = view.reshape(-1).view(torch.uint8).numpy()
        taken = data.size if share == 1.0 else max(min(data.size, 4096), int(data.size * share))
        start = (data.size - taken) // 2
        raw += taken
        compressed += len(zlib.compress(data[start : start + taken].tobytes(), 1)) if taken else 0
    return (compressed / raw if raw else 1.0), share < 1.0
