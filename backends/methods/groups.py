"""Named groups of methods: what people select together. Imports no library."""

from collections.abc import Mapping
from typing import Final, get_args

from backends.methods.registry import Entry, Family
from state.plan import GROUPS

#: The best known way of each kind, for who asks what to use.
_FASTEST: Final = (
    *("direct", "safetensors", "pytorch-tuned", "dcp"),
    *("ts+concurrency+chunks", "zarr3", "ocdbt", "jax", "orbax"),
)


def groups(entries: Mapping[str, Entry]) -> dict[str, tuple[str, ...]]:
    """Every group with its methods, as far as they can run here.

    Args:
        entries: Every method by name, in the order in which people see them; groups keep it, but for `cells`.

    Returns:
        Name of the group -> names of its methods. A group of which nothing can run here is left out.
    """
    able = {name: entry for name, entry in entries.items() if entry.unavailable is None}
    families = [family for family in get_args(Family) if family != "other"]
    members = {name: tuple(method for method in methods if method in able) for name, methods in GROUPS.items()}
    members |= {
        f"{family.lower()}-family": tuple(name for name, entry in able.items() if entry.family == family)
        for family in families
    }
    members |= {"fastest": tuple(name for name in able if name in _FASTEST), "all": tuple(able)}
    return {name: methods for name, methods in members.items() if methods}
