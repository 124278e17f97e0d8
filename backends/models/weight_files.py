"""Real weights from the disk: safetensors files, and pickles that are not allowed to run code.

A folder is read as Hugging Face's libraries read it: `model.safetensors`, the shards that an index names, or the
same with `pytorch_model.bin`. Tensors are read one by one, so no second copy of the whole is in memory.
"""

import contextlib
import hashlib
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import safetensors
import torch

from backends.models.names import WEIGHT_SUFFIXES
from backends.tensors import dtype_name
from state.errors import ModelError
from state.model import Model, TensorInfo

#: How a zip file and a pickle begin: torch.save writes nothing else.
_PICKLE_STARTS: Final = (b"PK", b"\x80")
#: Training scripts often wrap the state dict in one of these.
_WRAPPERS: Final = ("state_dict", "model_state_dict", "model", "module")
_CASTABLE: Final = frozenset({torch.float64, torch.float32, torch.float16, torch.bfloat16})


class _Shard(Protocol):
    """An open file of named tensors.

    `aliases` has the names that share all memory with an earlier one, `left_out` what else stands in the file.
    """

    aliases: Mapping[str, str]
    left_out: Sequence[str]

    def names(self) -> list[str]:
        """All names in it."""

    def read(self, name: str) -> torch.Tensor:
        """One tensor, perhaps still on the disk."""


class Weights:
    """Weights in files.

    Args:
        name: What the user called it.
        path: A file, or a folder with files.
        dtype: ``auto``, or the dtype to cast floating-point tensors to.

    Raises:
        ModelError: If there are no weights.
    """

    def __init__(self, name: str, path: Path, *, dtype: str) -> None:
        self._name = name
        self._path = path
        self._files = _weight_files(path)
        self._dtype: torch.dtype | None = None if dtype == "auto" else getattr(torch, dtype)

    def table(self) -> Model:
        """Names, dtypes and shapes of all files.

        Raises:
            ModelError: If a file cannot be read, a name occurs twice, or there is no tensor.
        """
        infos: dict[str, TensorInfo] = {}
        aliases: dict[str, str] = {}
        left_out: dict[str, None] = {}
        for file in self._files:
            with _open_shard(file) as shard:
                left_out |= dict.fromkeys(shard.left_out)
                for name in shard.names():
                    if name in infos or name in aliases:
                        raise ModelError(f"{name[:80]!r} occurs in two files of {self._path}", "remove one of them")
                    if name in shard.aliases:
                        aliases[name] = shard.aliases[name]
                        continue
                    tensor = shard.read(name)
                    dtype = self._target_dtype(tensor)
                    shape = tuple(tensor.shape)
                    infos[name] = TensorInfo(name, dtype_name(dtype), shape, tensor.numel() * dtype.itemsize)
        if not infos:
            raise ModelError(f"there is no tensor in {self._path}", "choose a file or folder with a model's weights")
        origin = f"{self._path}, without its {', '.join(left_out)}" if left_out else str(self._path)
        return Model(self._name, origin, tuple(infos.values()), aliases, _fingerprint(self._files))

    def fill(self, views: Mapping[str, torch.Tensor]) -> None:
        """Read every tensor into its view, cast and made contiguous on the way."""
        for file in self._files:
            with _open_shard(file) as shard:
                for name in shard.names():
                    if name in views:
                        views[name].copy_(shard.read(name))

    def _target_dtype(self, tensor: torch.Tensor) -> torch.dtype:
        return self._dtype if self._dtype is not None and tensor.dtype in _CASTABLE else tensor.dtype


def _fingerprint(files: Iterable[Path]) -> str:
    stats = [(str(file), stat.st_size, stat.st_mtime_ns) for file in files for stat in (file.stat(),)]
    return hashlib.sha256(msgspec.json.encode(stats)).hexdigest()[:16]


def _weight_files(path: Path) -> tuple[Path, ...]:
    if path.is_file():
        if path.suffix not in WEIGHT_SUFFIXES:
            raise ModelError(f"{path} is no weights file that can be read", f"choose {', '.join(WEIGHT_SUFFIXES)}")
        return (path,)
    for stem, suffix in (("model", ".safetensors"), ("pytorch_model", ".bin")):
        single, index = path / f"{stem}{suffix}", path / f"{stem}{suffix}.index.json"
        if index.is_file():
            return _indexed_files(index)
        if single.is_file():
            return (single,)
    loose = tuple(sorted(path.glob("*.safetensors")))
    if loose:
        return loose
    raise ModelError(
        f"there are no weights in the folder {path}",
        "it should hold model.safetensors, its shards with an index, or pytorch_model.bin",
    )


class _IndexFile(msgspec.Struct):
    weight_map: dict[str, str]


def _indexed_files(index: Path) -> tuple[Path, ...]:
    try:
        names = sorted(set(msgspec.json.decode(index.read_bytes(), type=_IndexFile).weight_map.values()))
    except msgspec.DecodeError as error:
        raise ModelError(f"the index {index} cannot be read ({error})", "download the model again") from None
    files = tuple(index.parent / name for name in names)
    for name, file in zip(names, files, strict=True):
        if Path(name).name != name:
            raise ModelError(f"the index {index} names {name!r}, which is outside its folder", "do not use this model")
        try:
            found = file.is_file()
        except (OSError, ValueError):  # too long, or with a null byte
            found = False
        if not found:
            raise ModelError(f"the shard {name[:80]!r} that {index} names is missing", "download the model again")
    return files


def _checked(tensor: torch.Tensor, name: str, file: Path) -> torch.Tensor:
    if tensor.is_meta:
        raise ModelError(f"{name[:80]!r} in {file} has a shape and no values", "save it from a model with its weights")
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise ModelError(f"{name[:80]!r} in {file} is a sparse or quantized tensor", "convert it to a dense one")
    return tensor


def _ties(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Names that share all of their memory with an earlier name: alias -> that name. Empty tensors share none."""
    first_names: dict[tuple[object, ...], str] = {}
    aliases = {}
    for name, tensor in tensors.items():
        if tensor.nbytes:
            identity = (
                *(tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()),
                *(tensor.is_conj(), tensor.is_neg()),
            )
            first = first_names.setdefault(identity, name)
            if first != name:
                aliases[name] = first
    return aliases


@contextlib.contextmanager
def _open_shard(file: Path) -> Iterator[_Shard]:
    if file.suffix != ".safetensors":
        yield _PickledShard(file)
        return
    try:
        opened = safetensors.safe_open(file, framework="pt")
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"{file} is no sound safetensors file ({error})", "download or write it again") from None
    with opened as handle:
        yield _SafetensorsShard(handle, file)


class _SafetensorsShard:
    aliases: Mapping[str, str] = {}
    left_out: Sequence[str] = ()

    def __init__(self, handle: Any, file: Path) -> None:
        self._handle = handle
        self._file = file

    def names(self) -> list[str]:
        return list(self._handle.keys())

    def read(self, name: str) -> torch.Tensor:
        try:
            tensor: torch.Tensor = self._handle.get_tensor(name)
        except (safetensors.SafetensorError, AttributeError, ValueError) as error:
            raise ModelError(
                f"{name[:80]!r} in {self._file} cannot be read ({error})", "write the file again"
            ) from None
        return tensor


class _PickledShard:
    """A state dict that torch pickled. Mapped where the format permits, so only what is read comes into memory."""

    def __init__(self, file: Path) -> None:
        content = _unpickle(file)
        entries = _unwrap(content, file)
        tensors = {str(name): entry for name, entry in entries.items() if isinstance(entry, torch.Tensor)}
        others = (key for key, value in content.items() if isinstance(value, Mapping) and value is not entries)
        self.left_out: Sequence[str] = tuple(str(key) for key in others)
        self._tensors = {name: _checked(tensor, name, file) for name, tensor in tensors.items()}
        self.aliases: Mapping[str, str] = _ties(self._tensors)

    def names(self) -> list[str]:
        return list(self._tensors)

    def read(self, name: str) -> torch.Tensor:
        return self._tensors[name]


def _unpickle(file: Path) -> Any:
    with file.open("rb") as opened:
        if not opened.read(2).startswith(_PICKLE_STARTS):
            raise ModelError(f"{file} is no file that torch.save wrote", "check that it was downloaded completely")
    reason: Exception
    for mapped in (True, False):  # files from before torch 1.6 cannot be mapped
        try:
            return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
        except pickle.UnpicklingError:
            raise ModelError(
                f"{file} is a pickle that wants more than tensors, so nothing of it was run",
                "save a plain state dict or a safetensors file from it where you trust it",
            ) from None
        except Exception as error:  # a damaged file raises whatever the decoder stumbled over
            reason = error
    first_line = next(iter(str(reason).splitlines()), type(reason).__name__)
    raise ModelError(f"{file} cannot be read ({first_line[:120]})", "check that torch.save wrote it completely")


def _unwrap(content: Any, file: Path) -> Mapping[Any, Any]:
    """The state dict in what was pickled: that itself, or what a training script wrapped with other things."""
    if isinstance(content, Mapping):
        for candidate in (content, *(content.get(key) for key in _WRAPPERS)):
            if isinstance(candidate, Mapping) and any(isinstance(value, torch.Tensor) for value in candidate.values()):
                return candidate
    raise ModelError(
        f"{file} holds no state dict",
        f"save a mapping of names to tensors with torch.save, by itself or as {', '.join(_WRAPPERS)}",
    )
