"""``python -P -m backends.methods.tell_capabilities NAME``: what a method can do, as JSON on the last line."""

import sys

import msgspec

from backends.methods.base import AsynchronousMethod
from backends.methods.capabilities import Ability
from backends.methods.registry import create
from state.plan import Plan


def main(name: str) -> None:
    """Import the method and tell."""
    method = create(name, Plan())
    can = method.capabilities
    found = Ability(
        devices=tuple(sorted(can.devices)),
        dtypes=tuple(sorted(can.dtypes)) if can.dtypes is not None else None,
        syncs_itself=can.syncs_itself,
        lazy_load=can.lazy_load,
        asynchronous=isinstance(method, AsynchronousMethod),
    )
    sys.stdout.write(f"\n{msgspec.json.encode(found).decode()}\n")


if __name__ == "__main__":
    main(sys.argv[1])
