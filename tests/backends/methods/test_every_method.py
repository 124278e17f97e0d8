"""The conformance suite of `backends.testing`, on all of our methods."""

import pytest

from backends.methods.registry import entries
from backends.testing import MethodTests
from tests.backends.samples import METHODS

#: The first method of every class. The others differ from it in a switch, so they get less of what takes long.
FIRST = {entry.target: entry.name for entry in reversed(entries().values()) if entry.name in METHODS}.values()


@pytest.mark.parametrize("method_name", METHODS)
class TestEveryMethod(MethodTests):
    @pytest.fixture(autouse=True)
    def choose(self, method_name: str) -> None:
        self.method = method_name
        self.tiny_tensors, self.kills = (5000, 10) if method_name in FIRST else (500, 5)
