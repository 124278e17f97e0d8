"""Names for several methods at once, as people ask for them. Imports no library."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from state.method_names import NAMED
from state.plan import CELL_NAMES, SIX

if TYPE_CHECKING:
    from backends.methods.entries import MethodEntry

#: The first to try for a training code: of every library the way that promises most, not what was measured here.
FASTEST: Final = (
    "direct",
    "safetensors",
    "pytorch-tuned",
    "dcp",
    "ts+concurrency+chunks",
    "zarr3",
    "ocdbt",
    "jax",
    "orbax",
)
#: The order in which people see our own methods; one that is not here stands behind its family.
_ORDER: Final = (
    *SIX,
    *CELL_NAMES,
    *("pytorch-tuned", "pytorch-mmap", "safetensors", "safetensors-pread"),
    *("dcp", "dcp-upstream", "dcp-async", "dcp-safetensors", "direct"),
    *("zarr3", "zarr3+compression", "zarr3-sharded", "zarr3-sharded+compression", "ocdbt", "ocdbt+compression"),
    *("jax", "orbax", "orbax-async"),
)
_FAMILIES: Final = {"pytorch-family": "PyTorch", "tensorstore-family": "TensorStore", "jax-family": "JAX"}
#: Group -> what it is, in the order in which people see them.
GROUPS: Final = {
    "six": "the study that this continues",
    "cells": "every setting of the three switches",
    "pytorch-family": "PyTorch's tensors as they are",
    "tensorstore-family": "zarr and OCDBT, by TensorStore",
    "jax-family": "JAX and Orbax",
    "fastest": "of every library the way to try first",
    "all": "whatever can run here",
}


def groups(entries: "Mapping[str, MethodEntry]") -> dict[str, tuple[str, ...]]:
    """Every group with its methods; only what can run here is in one, so a group may be empty.

    Args:
        entries: Every method there is, in the order in which people see them.
    """
    ready = {name: entry for name, entry in entries.items() if entry.unavailable is None}
    members: dict[str, tuple[str, ...]] = {**NAMED, "fastest": FASTEST, "all": tuple(ready)}
    for group, family in _FAMILIES.items():
        members[group] = tuple(name for name, entry in ready.items() if entry.family == family)
    return {group: tuple(name for name in members[group] if name in ready) for group in GROUPS}


def place(name: str, family: str) -> tuple[int, int]:
    """Where a method of ours stands among all, as a key to sort by."""
    families = list(_FAMILIES.values())
    known = name in _ORDER
    return (0 if known else 1), (_ORDER.index(name) if known else families.index(family) if family in families else 9)
