"""A kit for people who write methods: the conformance suite that every method of ours passes. Needs pytest.

    from backends.testing import MethodTests

    class TestMine(MethodTests):
        method = "mine"

See docs/writing-a-method.md.
"""

import pytest

pytest.register_assert_rewrite("backends.testing.suite")  # what failed shall be readable outside of our own tests, too

from backends.testing.suite import MethodTests  # noqa: E402 - after the line above

__all__ = ["MethodTests"]
