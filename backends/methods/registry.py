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
from typing import TYPE_CHECKING, Final

from backends.methods.entries import MethodEntry, declared_entries
from backends.methods.groups import GROUPS, place
from state.errors import UnavailableError
from state.optimizations import CELLS
from state.plan import LIMIT, Plan

if TYPE_CHECKING:
    from backends.methods.base import Method

ENTRY_POINTS: Final = "ckpt_tui.methods"
_CELLS: Final = tuple(
    MethodEntry(name, "backends.methods.tensorstore.zarr2:TensorStore", str(Plan().optimizations(name)), "TensorStore")
    for name in CELLS
)
_OWN: Final = {
    entry.name: entry
    for entry in sorted((*_CELLS, *declared_entries()), key=lambda entry: place(entry.name, entry.family))
}
_TAKEN: Final = frozenset({*_OWN, *GROUPS, LIMIT})


def entries() -> dict[str, MethodEntry]:
    """Every method by name: the six first, the other cells, then those of third parties by name."""
    found = dict(_OWN)
    for point in _points():
        if point.name not in _TAKEN:
            provider = _provider(point)
            found.setdefault(point.name, MethodEntry(point.name, point.value, f"from {provider}", provider=provider))
    return found


def taken_names() -> tuple[str, ...]:
    """Which methods of third parties are left out because their name is one of ours, in words."""
    taken = (point for point in _points() if point.name in _TAKEN)
    return tuple(f"{point.name} of {_provider(point)}, for the name is ours" for point in taken)


def _points() -> list[importlib.metadata.EntryPoint]:
    return sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name)


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
