"""A kit for people who write methods: the conformance suite that every method of ours passes. Needs pytest.

    from backends.testing import MethodTests

    class TestMine(MethodTests):
        method = "mine"

See docs/writing-a-method.md.
"""

import pytest

# What failed shall be readable outside of our own tests, too. So this comes before the imports.
pytest.register_assert_rewrite("backends.testing.fidelity", "backends.testing.faults", "backends.testing.trials")

from backends.testing.faults import FaultTests  # noqa: E402
from backends.testing.fidelity import FidelityTests  # noqa: E402
from backends.testing.memory import MemoryTests  # noqa: E402
from backends.testing.trials import TrialTests  # noqa: E402

__all__ = ["MethodTests"]


class MethodTests(FidelityTests, FaultTests, TrialTests, MemoryTests):
    """The conformance suite: inherit, and name the method. For what else can be set see `backends.testing.harness`."""
