"""Names of methods and where their classes are. Imports no method and no library, so anybody may list them.

A third party adds methods through the entry-point group `ckpt_tui.methods`: the entry's name is the method's, its
value ``module:Class`` names a `backends.methods.base.Method`. A name of ours cannot be taken, be it a method's, a
group's or the limit's.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from backends.methods.groups import GROUPS
from state.errors import UnavailableError
from state.optimizations import CELLS
from state.plan import LIMIT, SIX, Plan

if TYPE_CHECKING:
    from backends.methods.base import Method

GROUP: Final = "ckpt_tui.methods"
#: The distribution that our own methods come from.
OURS: Final = "ckpt-tui"
#: Whose library does the work, or who uses it: what people who look for a method begin with.
Family = Literal["PyTorch", "TensorStore", "JAX", "other"]


class Entry(msgspec.Struct, frozen=True):
    """A method that can be asked for.

    Attributes:
        name: Its name.
        target: ``module:Class``.
        summary: What it does, in half a sentence.
        family: Where it belongs.
        requires: Modules that must be importable.
        install: What pip is to be given if they are not.
        provider: The distribution that it comes from.
    """

    name: str
    target: str
    summary: str
    family: Family = "other"
    requires: tuple[str, ...] = ()
    install: str = ""
    provider: str = OURS

    @property
    def missing(self) -> tuple[str, ...]:
        """What cannot be imported of what it requires."""
        return tuple(module for module in self.requires if not _is_there(module))

    @property
    def unavailable(self) -> str | None:
        """Why it cannot run here, or None."""
        missing = self.missing
        if not missing:
            return None
        return f"needs the package {', '.join(missing)}" + (f": pip install '{self.install}'" if self.install else "")


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of ``a.b``, not even ``a``
        return False


_CELLS: Final = tuple(
    Entry(name, "backends.methods.tensorstore.zarr2:TensorStore", str(Plan().optimizations(name)), "TensorStore")
    for name in CELLS
)
_FORMAT_CLASSES: Final = {
    "zarr3": ("backends.methods.tensorstore.zarr3:Zarr3", "zarr version 3"),
    "zarr3-sharded": ("backends.methods.tensorstore.zarr3:ShardedZarr3", "zarr version 3, several chunks in a file"),
    "ocdbt": ("backends.methods.tensorstore.ocdbt:Ocdbt", "zarr version 3 in one OCDBT database"),
}
_FORMATS: Final = tuple(
    Entry(f"{name}{suffix}", target, f"{summary}{extra}", "TensorStore")
    for name, (target, summary) in _FORMAT_CLASSES.items()
    for suffix, extra in (("", ""), ("+compression", ", compressed"))
)
_PYTORCH: Final = (
    Entry(
        "pytorch", "backends.methods.pytorch.torch_save:PyTorch", "torch.save and torch.load: one zip file", "PyTorch"
    ),
    Entry(
        "pytorch-tuned",
        "backends.methods.pytorch.torch_save:TunedPyTorch",
        "torch.save without checksums, aligned",
        "PyTorch",
    ),
    Entry(
        "pytorch-mmap",
        "backends.methods.pytorch.torch_save:MappedPyTorch",
        "torch.load(mmap=True), read through",
        "PyTorch",
    ),
    Entry(
        "safetensors",
        "backends.methods.safetensors.save_file:Safetensors",
        "one mapped file, read through",
        "PyTorch",
        requires=("safetensors",),
    ),
    Entry(
        "safetensors-pread",
        "backends.methods.safetensors.save_file:ReadSafetensors",
        "one file, read with pread",
        "PyTorch",
        requires=("safetensors",),
    ),
    Entry("dcp", "backends.methods.pytorch.dcp:DCP", "distributed checkpoint, two threads a core", "PyTorch"),
    Entry(
        "dcp-upstream", "backends.methods.pytorch.dcp:DCP", "distributed checkpoint by upstream's one thread", "PyTorch"
    ),
    Entry(
        "dcp-async",
        "backends.methods.pytorch.dcp:AsynchronousDCP",
        "distributed checkpoint, in the background",
        "PyTorch",
    ),
    Entry(
        "dcp-safetensors",
        "backends.methods.pytorch.dcp_safetensors:SafetensorsDCP",
        "distributed checkpoint into a file that Hugging Face readers know",
        "PyTorch",
        requires=("safetensors",),
    ),
    Entry("direct", "backends.methods.direct:Direct", "safetensors past the page cache, in large blocks", "PyTorch"),
)
_JAX: Final = (
    Entry(
        "jax",
        "backends.methods.jax.serialization:JAX",
        "JAX's own array serialization: zarr 3 in one store",
        "JAX",
        requires=("tensorstore", "flatbuffers"),
    ),
    Entry(
        "orbax",
        "backends.methods.jax.orbax:Orbax",
        "Orbax with its defaults: zarr 3 and zstd in one store",
        "JAX",
        requires=("orbax.checkpoint", "tensorstore"),
        install="ckpt-tui[orbax]",
    ),
    Entry(
        "orbax-async",
        "backends.methods.jax.orbax:AsynchronousOrbax",
        "Orbax, in the background",
        "JAX",
        requires=("orbax.checkpoint", "tensorstore"),
        install="ckpt-tui[orbax]",
    ),
)
_OWN: Final = {entry.name: entry for entry in (*_CELLS, *_PYTORCH, *_FORMATS, *_JAX)}
_TAKEN: Final = frozenset({*_OWN, *GROUPS, LIMIT})


def entries() -> dict[str, Entry]:
    """Every method by name: the six first, the other cells, then those of third parties by name."""
    own = [*SIX, *(name for name in _OWN if name not in SIX)]
    found = {name: _OWN[name] for name in own}
    for point in _points():
        if point.name not in _TAKEN:
            provider = _provider(point)
            found.setdefault(point.name, Entry(point.name, point.value, f"from {provider}", provider=provider))
    return found


def taken_names() -> tuple[str, ...]:
    """Which methods of third parties are left out because their name is one of ours, in words."""
    taken = (point for point in _points() if point.name in _TAKEN)
    return tuple(f"{point.name} of {_provider(point)}, for the name is ours" for point in taken)


def _points() -> list[importlib.metadata.EntryPoint]:
    return sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name)


def _provider(point: importlib.metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown"


def preload(names: Iterable[str]) -> None:
    """Import our own methods of these names, so that no child has to. For worker processes only.

    What others wrote may start threads or crash, so it is left to the children. What fails here fails there, with a
    reason.
    """
    for name in names:
        entry = _OWN.get(name)
        if entry is not None and entry.unavailable is None:
            with contextlib.suppress(Exception):
                importlib.import_module(entry.target.partition(":")[0])


def create(name: str, plan: Plan) -> "Method":
    """Import a method and make it with the plan's values. For worker processes only.

    Raises:
        UnavailableError: If it is unknown, its package is missing, or it cannot be imported.
    """
    entry = entries().get(name)
    if entry is None:
        raise UnavailableError(f"there is no method {name!r}", "see ckpt-tui methods")
    if entry.unavailable is not None:
        raise UnavailableError(f"{name} {entry.unavailable}", "install it or leave the method out")
    module, _, attribute = entry.target.partition(":")
    try:
        method_class: type[Method] = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a third party's module may raise anything
        raise UnavailableError(f"{name} cannot be imported from {entry.provider} ({error})", "repair it") from error
    return method_class.create(name, plan)
