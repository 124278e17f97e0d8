"""Groups of methods."""

import msgspec

from backends.methods.groups import FASTEST, GROUPS, groups
from backends.methods.registry import entries
from state.method_names import expand_methods
from state.plan import CELL_NAMES, SIX


def test_every_group_holds_methods_that_exist_and_every_family_is_one() -> None:
    known, found = entries(), groups(entries())
    assert list(found) == list(GROUPS)
    assert found["six"] == SIX
    assert found["cells"] == CELL_NAMES
    assert set(found["all"]) == {name for name, entry in known.items() if entry.unavailable is None}
    for group, family in (("pytorch-family", "PyTorch"), ("tensorstore-family", "TensorStore"), ("jax-family", "JAX")):
        assert all(known[name].family == family for name in found[group])
    families = [name for group in found if group.endswith("-family") for name in found[group]]
    assert sorted(families) == sorted(name for name in found["all"] if known[name].family != "other")
    assert set(found["fastest"]) == set(FASTEST) & set(found["all"])


def test_a_group_leaves_out_what_cannot_run_here_and_its_name_alone_does_not() -> None:
    known = entries()
    known["direct"] = msgspec.structs.replace(known["direct"], requires=("no_such_library",))
    found = groups(known)
    assert "direct" not in {name for group in found.values() for name in group}
    assert expand_methods("direct", known, found) == ("direct",)
    assert expand_methods("fastest,direct", known, found) == (*found["fastest"], "direct")
