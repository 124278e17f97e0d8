"""The conformance suite of ckpt-tui, on both methods of this package."""

from backends.testing import MethodTests


class TestFlat(MethodTests):
    """Some seconds of real saves, kills and flipped bits."""

    method = "flat"


class TestFlatAsync(MethodTests):
    """The same, and that the copy is one."""

    method = "flat-async"
